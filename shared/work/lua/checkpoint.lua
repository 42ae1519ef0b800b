-- include: prelude transitions
-- Keep a place to go on from, and the one before it. KEYS: job. ARGV: fence, checkpoint.
-- Answers the job's state.
local key = KEYS[1]
local bad = guard(key, ARGV[1])
if bad then return bad end
local before = get(key, 'checkpoint')
if before then set(key, 'checkpoint_before', before) end
set(key, 'checkpoint', ARGV[2])
return get(key, 'state')
