-- include: all
-- Let a paused job go on where it was. KEYS: job. Answers the state it is in now.
local key = KEYS[1]
local state = get(key, 'state')
if not state then return refuse('NOT_FOUND', 'there is no such job') end
if get(key, 'pause_requested') then
  redis.call('HDEL', key, 'pause_requested')
  emit(key, 'state')
  return state
end
if state ~= 'paused' then return refuse('CONFLICT', 'the job is not paused, it is ' .. state) end
local from, due = get(key, 'paused_from'), num(key, 'due_at')
set(key, 'waiting_since', NOW - num(key, 'waited'))
redis.call('HDEL', key, 'paused_from', 'paused_at', 'waited')
if (from == 'scheduled' or from == 'retrying') and due > NOW then
  move(key, from)
  redis.call('ZADD', DELAYED, due, key)
  emit(key, 'state')
  return from
end
move(key, 'ready')
if redis.call('SCARD', key .. ':pending') > 0 then
  move(key, 'blocked')
  emit(key, 'state')
  return 'blocked'
end
emit(key, 'state')
line_up(key)
return 'ready'
