-- include: upload
-- Bytes have arrived for good. KEYS: the upload, the outbox. ARGV: owner, the offset they begin at,
-- the length of the whole or "", milliseconds it lives on, seconds it is remembered once complete,
-- how many pieces, then name, size of each, then field, value, … to be said once it is complete.
-- Answers the new offset.
local offset, count = tonumber(ARGV[2]), tonumber(ARGV[6])
if not held_by(ARGV[1]) then return refuse('LOST', 'another request has taken this upload over') end
local is = redis.call('HMGET', key, 'offset', 'length', 'state')
if is[3] ~= 'open' or tonumber(is[1]) ~= offset then
  return refuse('OFFSET', 'the upload is at ' .. is[1] .. ', not at ' .. ARGV[2])
end
local length = is[2]
if ARGV[3] ~= '' then
  length = ARGV[3]
  redis.call('HSET', key, 'length', length)
end
for at = 7, 5 + 2 * count, 2 do
  redis.call('RPUSH', pieces, ARGV[at])
  offset = offset + tonumber(ARGV[at + 1])
end
redis.call('HSET', key, 'offset', string.format('%.0f', offset))
live_on(tonumber(ARGV[4]))
if length and offset == tonumber(length) then
  complete(KEYS[2], { unpack(ARGV, 7 + 2 * count) }, ARGV[5])
end
return string.format('%.0f', offset)
