-- Go on holding a request that was begun. KEYS: its record. ARGV: owner, milliseconds of the lease,
-- seconds to live and, where there is a new one, the receipt. Answers 1 when it is still ours.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'until', now + tonumber(ARGV[2]))
if ARGV[4] then redis.call('HSET', KEYS[1], 'receipt', ARGV[4]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
