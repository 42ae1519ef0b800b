-- include: all
-- Keep a place for a job that is to be submitted soon, unless its tenant has enough waiting, or it
-- would wait too long: because of those ahead of it, or because one of its tenant has waited so long
-- already (who is ahead now says nothing of more urgent work that is still to come). KEYS: job. ARGV: tenant, job id, how many may
-- wait, base, pool, longest estimated wait in ms, for how many ms the place is kept.
-- Answers {1 or 0, how many wait, wait to be expected in ms, mean duration of a job in ms}.
local tenant, id, cap, base, pool = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local admitted = admitted_of(tenant)
redis.call('ZREMRANGEBYSCORE', admitted, '-inf', NOW)
local queued = queued_of(tenant) + redis.call('ZCARD', admitted)
local average = tonumber(redis.call('HGET', 'rw:jobs:pool:' .. pool, 'average_ms') or '0')
local slots = math.max(1, redis.call('SCARD', 'rw:jobs:busy:' .. pool))
local ahead, depth = 0, redis.call('HGETALL', 'rw:jobs:depth:' .. pool)
for at = 1, #depth, 2 do
  if tonumber(depth[at]) >= base then ahead = ahead + tonumber(depth[at + 1]) end
end
local wait = math.floor(ahead * average / slots)
for _, line in ipairs(redis.call('SMEMBERS', 'rw:jobs:lines:' .. tenant)) do
  local at, class = line:match('^(%S+) (%S+)$')
  local head = at == pool and redis.call('ZRANGE', line_of(pool, class, tenant), 0, 0, 'WITHSCORES')
  if head and head[2] then wait = math.max(wait, NOW - tonumber(head[2])) end
end
local has_place = redis.call('ZSCORE', admitted, id) or redis.call('EXISTS', KEYS[1]) == 1
if not has_place and (queued >= cap or wait > tonumber(ARGV[6])) then
  return { 0, queued, wait, average }
end
redis.call('ZADD', admitted, NOW + tonumber(ARGV[7]), id)
return { 1, queued, wait, average }
