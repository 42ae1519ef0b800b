-- Let a file go, and with the last one of its bytes all that was made of them. KEYS: files with
-- these bytes, index of results, resting jobs. ARGV: file, what the keys of results begin with.
-- Answers 1 when no file has these bytes any more.
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for _, key in ipairs(redis.call('SMEMBERS', KEYS[2])) do redis.call('DEL', ARGV[2] .. key) end
redis.call('DEL', KEYS[2], KEYS[3])
return 1
