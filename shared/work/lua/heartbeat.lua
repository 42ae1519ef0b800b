-- include: prelude transitions
-- Keep the lease. KEYS: job. ARGV: fence, lease in ms. Answers the job's state, or "pausing" when
-- the attempt shall end because the job is to rest.
local key = KEYS[1]
local bad = guard(key, ARGV[1])
if bad then return bad end
local until_ms = NOW + tonumber(ARGV[2])
set(key, 'lease_until', until_ms)
redis.call('ZADD', LEASES, until_ms, key)
redis.call('ZADD', 'rw:jobs:workers:' .. get(key, 'pool'), NOW, get(key, 'worker'))
return wish(key)
