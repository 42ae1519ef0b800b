-- include: all leftovers
-- A person has given a failed job up: it leaves the desk, and what it kept for another attempt may
-- go. KEYS: job. Answers its state.
local key = KEYS[1]
local state = get(key, 'state')
if not state then return refuse('NOT_FOUND', 'there is no such job') end
if state ~= 'failed' then return refuse('CONFLICT', 'only a failed job is discarded, this is ' .. state) end
redis.call('ZREM', beside(key, 'dead'), get(key, 'id'))
if num(key, 'discarded_at') == 0 then
  set(key, 'discarded_at', NOW)
  say(key, get(key, 'id') .. ':discarded:' .. get(key, 'epoch'), 'jobs.discarded.v1', 'event',
    { job_id = get(key, 'id'), upload_id = upload_of(key) })
end
return state
