-- include: prelude schedules
-- The schedules whose time has come, the longest due first. ARGV: at most how many.
-- Answers {now, {hash, …}}, each hash as field, value, …
local found = {}
for _, schedule in ipairs(redis.call('ZRANGEBYSCORE', SCHEDULES, '-inf', NOW, 'LIMIT', 0, ARGV[1])) do
  local fields = redis.call('HGETALL', schedule)
  if #fields > 0 then found[#found + 1] = fields else redis.call('ZREM', SCHEDULES, schedule) end
end
return { NOW, found }
