-- include: all cancelling
-- Stop a job in whatever state. KEYS: job. ARGV: reason. Answers the state it is in now.
local key = KEYS[1]
local state = get(key, 'state')
if not state then return refuse('NOT_FOUND', 'there is no such job') end
if TERMINAL[state] then return refuse('CONFLICT', 'the job has ended: it is ' .. state) end
return cancel(key, ARGV[1])
