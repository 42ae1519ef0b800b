-- include: prelude transitions results
-- Keep what a step made of a source. KEYS: result, index, resting jobs, files with these bytes, job.
-- ARGV: job, for how many seconds, fence, record, the result's key.
-- Answers 1, or 0 when no file has these bytes any more: nothing would ever remove the record.
local bad = guard(KEYS[5], ARGV[3])
if bad then return bad end
if redis.call('EXISTS', KEYS[4]) == 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[4])
redis.call('SADD', KEYS[2], ARGV[5])
use_result(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
return 1
