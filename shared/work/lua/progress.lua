-- include: prelude transitions
-- Say how far the job is. KEYS: job. ARGV: fence, fraction of the whole job, message.
-- Answers the job's state.
local key = KEYS[1]
local bad = guard(key, ARGV[1])
if bad then return bad end
set(key, 'progress', ARGV[2], 'message', ARGV[3])
emit(key, 'progress')
return get(key, 'state')
