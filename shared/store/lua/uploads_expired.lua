-- Uploads whose time is over. ARGV: at most how many. Answers tenant, id, …; entries of uploads that
-- are gone are dropped.
local TIME = redis.call('TIME')
local now = tonumber(TIME[1]) * 1000 + math.floor(tonumber(TIME[2]) / 1000)
local answer = {}
local due = redis.call('ZRANGEBYSCORE', 'rw:uploads:expiring', '-inf', now, 'LIMIT', 0, ARGV[1])
for _, key in ipairs(due) do
  local is = redis.call('HMGET', key, 'tenant', 'id')
  if is[1] then
    answer[#answer + 1] = is[1]
    answer[#answer + 1] = is[2]
  else
    redis.call('ZREM', 'rw:uploads:expiring', key)
  end
end
return answer
