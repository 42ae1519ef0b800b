-- include: all
-- Take the best waiting job of a pool. ARGV: pool, worker, request id, lease in ms, what the worker
-- has free of each resource, and what it has in all.
-- Answers {key, hash} or nothing. What a request got is kept for a minute, with the fence it got,
-- so that a reply lost on its way does not leave a job leased to nobody; once the job has gone to
-- another claim, the request is as good as new.
local pool, worker, request, lease = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local free, total = amounts(ARGV[5]), amounts(ARGV[6])
local WORKER_SEEN = 60 * 1000
local memory, workers = 'rw:jobs:claim:' .. request, 'rw:jobs:workers:' .. pool
redis.call('ZADD', workers, NOW, worker)
redis.call('ZREMRANGEBYSCORE', workers, '-inf', NOW - WORKER_SEEN)
local fence, known = (redis.call('GET', memory) or ''):match('^(%d+) (.+)$')
if known and not guard(known, fence) then
  return { known, redis.call('HGETALL', known) }
end

local function is_closed()
  local rules = redis.call('HMGET', 'rw:jobs:pool:' .. pool, 'paused', 'limit')
  local limit = tonumber(rules[2] or '0')
  return rules[1] or (limit > 0 and redis.call('SCARD', 'rw:jobs:busy:' .. pool) >= limit)
end

local function take(key, tenant)
  move(key, 'running')
  fence = redis.call('HINCRBY', key, 'fence', 1)
  set(key, 'worker', worker, 'lease_until', NOW + lease, 'claimed_at', NOW,
    'waited_ms', NOW - num(key, 'ready_at'))
  if num(key, 'started_at') == 0 then set(key, 'started_at', NOW) end
  redis.call('ZADD', LEASES, NOW + lease, key)
  redis.call('INCR', claims_of(pool))
  take_lock(key)
  hold(key, pool)
  charge(pool, tenant)
  begin_step(key, next_step(key).name)
  emit(key, 'state')
  redis.call('SET', memory, fence .. ' ' .. key, 'EX', 60)
  return { key, redis.call('HGETALL', key) }
end

if is_closed() then return nil end
while true do
  local best = best_line(pool, free, total)
  if not best then return nil end
  local key = redis.call('ZPOPMIN', line_of(pool, best.class, best.tenant))[1]
  if key then
    redis.call('HINCRBY', 'rw:jobs:depth:' .. pool, law_of(best.class).base, -1)
  end
  refresh_head(pool, best.class, best.tenant)
  if key and get(key, 'state') == 'ready' then
    if not held_by(key) then return take(key, best.tenant) end
    wait_for_lock(key)
  end
end
