-- include: prelude
-- Entries of a job's events after one, in order. KEYS: job. ARGV: number of the one before, at most
-- how many. Their numbers have no gaps, so the place of each follows from the latest number.
local key, list = KEYS[1], KEYS[1] .. ':events'
local first = num(key, 'seq') - redis.call('LLEN', list) + 1
local from = math.max(0, tonumber(ARGV[1]) + 1 - first)
return redis.call('LRANGE', list, from, from + tonumber(ARGV[2]) - 1)
