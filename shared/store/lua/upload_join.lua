-- include: upload
-- Begin an upload that consists of parts, which are complete and are used up by it. KEYS: it, the
-- outbox, the parts in their order. ARGV: seconds it is remembered, how many bytes there are, how
-- many of the following belong to it: field, value, …; then field, value, … to be said.
-- Answers 1, or 0 when it was there already.
if redis.call('EXISTS', key) == 1 then return 0 end
local fields, total, names = tonumber(ARGV[3]), 0, {}
for at = 3, #KEYS do
  local is = redis.call('HMGET', KEYS[at], 'concat', 'state', 'offset')
  if is[1] ~= 'partial' then return refuse('NOT_FOUND', 'there is no such partial upload') end
  if is[2] ~= 'complete' then return refuse('CONFLICT', 'a partial upload is not complete') end
  total = total + tonumber(is[3])
  for _, name in ipairs(redis.call('LRANGE', KEYS[at] .. ':pieces', 0, -1)) do
    names[#names + 1] = name
  end
end
if total ~= tonumber(ARGV[2]) then return refuse('CONFLICT', 'the parts have changed') end
for at = 3, #KEYS do
  redis.call('DEL', KEYS[at], KEYS[at] .. ':pieces')
  redis.call('ZREM', EXPIRING, KEYS[at])
end
for _, name in ipairs(names) do redis.call('RPUSH', pieces, name) end
redis.call('HSET', key, 'state', 'open', 'created_at', NOW, 'expires_at', NOW, 'offset', ARGV[2],
  'length', ARGV[2], unpack(ARGV, 4, 3 + fields))
complete(KEYS[2], { unpack(ARGV, 4 + fields) }, ARGV[1])
return 1
