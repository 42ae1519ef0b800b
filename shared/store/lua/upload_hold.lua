-- include: upload
-- Take the right to change an upload, or keep it; ask whoever has it to let go. KEYS: it. ARGV:
-- owner, milliseconds. Answers "ours", "wanted" when it is ours and another asks for it, or "taken".
local WISH_MS = 2000
if redis.call('EXISTS', key) == 0 then return refuse('NOT_FOUND', 'there is no such upload') end
local is = redis.call('HMGET', key, 'holder', 'held_until', 'wanted_by', 'wanted_until')
if is[1] and is[1] ~= ARGV[1] and tonumber(is[2]) > NOW then
  redis.call('HSET', key, 'wanted_by', ARGV[1], 'wanted_until', NOW + WISH_MS)
  return 'taken'
end
redis.call('HSET', key, 'holder', ARGV[1], 'held_until', NOW + tonumber(ARGV[2]))
if is[3] == ARGV[1] then redis.call('HDEL', key, 'wanted_by', 'wanted_until') end
if is[3] and is[3] ~= ARGV[1] and tonumber(is[4]) > NOW then return 'wanted' end
return 'ours'
