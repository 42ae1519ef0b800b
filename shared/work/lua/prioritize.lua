-- include: all
-- Change how urgent a job is; its waiting time is kept. KEYS: job. ARGV: base or "", boost or "".
-- Answers its state.
local key = KEYS[1]
local state = get(key, 'state')
if not state then return refuse('NOT_FOUND', 'there is no such job') end
if TERMINAL[state] then return refuse('CONFLICT', 'the job has ended: it is ' .. state) end
if state == 'ready' then leave_line(key) end
if ARGV[1] ~= '' then set(key, 'base', ARGV[1]) end
if ARGV[2] ~= '' then set(key, 'boost', ARGV[2]) end
emit(key, 'state')
if state == 'ready' then line_up(key) end
return state
