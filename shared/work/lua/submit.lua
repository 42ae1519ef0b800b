-- include: all
-- Create a job once. KEYS: job. ARGV: tenant, limit of its running jobs in one pool (0: none), its
-- weight, then field, value, … of the new hash.
-- Answers 1 when it is new, 0 when it was there already.
local key, tenant = KEYS[1], ARGV[1]
if redis.call('EXISTS', key) == 1 then return 0 end
local rules = 'rw:jobs:tenant:' .. tenant
local before = redis.call('HMGET', rules, 'limit', 'weight')
if before[1] ~= ARGV[2] or before[2] ~= ARGV[3] then
  redis.call('HSET', rules, 'limit', ARGV[2], 'weight', ARGV[3])
  refresh_tenant(tenant)
end
create(key, { unpack(ARGV, 4) })
return 1
