-- include: all
-- Let a job rest. KEYS: job. Answers "paused", or "pausing" while a worker still holds it.
local key = KEYS[1]
local state = get(key, 'state')
if not state then return refuse('NOT_FOUND', 'there is no such job') end
if state == 'paused' then return state end
if TERMINAL[state] or state == 'cancelling' then
  return refuse('CONFLICT', 'a job that is ' .. state .. ' cannot be paused')
end
if state ~= 'running' then
  rest(key)
  return 'paused'
end
set(key, 'pause_requested', 1)
emit(key, 'state')
say(key, get(key, 'id') .. ':control:' .. get(key, 'seq'), 'jobs.control.v1', 'event',
  { job_id = get(key, 'id') })
return 'pausing'
