-- include: upload
-- Begin an upload once. KEYS: it. ARGV: milliseconds it lives, then field, value, …
-- Answers 1 when it is new, 0 when it was there already.
if redis.call('EXISTS', key) == 1 then return 0 end
redis.call('HSET', key, 'state', 'open', 'offset', 0, 'created_at', NOW, unpack(ARGV, 2))
live_on(tonumber(ARGV[1]))
return 1
