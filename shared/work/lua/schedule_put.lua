-- include: prelude schedules
-- Make or change a schedule. KEYS: schedule, the tenant's list of them. ARGV: at most how many in the
-- list, its next time if that is not known already, its times as text, whether it recurs ("1"), then
-- field, value, … of the hash, of which "name" is the first. Answers the hash.
local schedule, list = KEYS[1], KEYS[2]
local most, upcoming, times, enabled = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local name = ARGV[6]
if redis.call('EXISTS', schedule) == 0 and redis.call('ZCARD', list) >= most then
  return refuse('FULL', 'there are ' .. most .. ' schedules already')
end
local before = redis.call('HMGET', schedule, 'next_at', 'times')
local is_known = before[1] and before[1] ~= '0' and before[2] == times
redis.call('HSETNX', schedule, 'created_at', NOW)
redis.call('HSET', schedule, 'times', times, 'enabled', enabled, 'updated_at', NOW, unpack(ARGV, 5))
redis.call('ZADD', list, 0, name)
wait_until(schedule, enabled == '1' and (is_known and before[1] or upcoming) or '0')
return redis.call('HGETALL', schedule)
