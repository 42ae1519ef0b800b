-- include: results
-- Use what a step made of a source before. KEYS: result, index, resting jobs. ARGV: job, for how
-- many seconds it is kept from now on. Answers the record, or nothing.
local found = redis.call('GET', KEYS[1])
if found then use_result(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]) end
return found
