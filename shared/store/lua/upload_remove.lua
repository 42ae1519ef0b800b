-- include: upload
-- Forget an upload. KEYS: it. ARGV: owner. Its pieces are forgotten with it unless it is complete:
-- then they are part of something else. Answers 1.
if not held_by(ARGV[1]) then return refuse('LOST', 'another request has taken this upload over') end
local is = redis.call('HMGET', key, 'state', 'concat')
if is[1] == 'open' or is[2] == 'partial' then redis.call('DEL', pieces) end
redis.call('DEL', key)
redis.call('ZREM', EXPIRING, key)
return 1
