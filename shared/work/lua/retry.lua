-- include: all
-- Open a new epoch of a job that has ended, from its first unfinished step or from a step that is
-- named, whose result and all later ones are forgotten. KEYS: job. ARGV: step or "", the step from
-- which on nothing is taken that was made before, or "".
-- Answers the state it is in now.
local key, from = KEYS[1], ARGV[1]
local state = get(key, 'state')
if not state then return refuse('NOT_FOUND', 'there is no such job') end
if not TERMINAL[state] then
  return refuse('CONFLICT', 'only a job that has ended can be retried, this one is ' .. state)
end
if state == 'succeeded' and from == '' then
  return refuse('CONFLICT', 'the job has succeeded: name the step to run again from')
end
local again, found = from == '', false
for _, step in ipairs(steps_of(key)) do found = found or step.name == from end
if from ~= '' and not found then return refuse('INVALID', 'the job has no step ' .. from) end
local bad = move(key, 'ready', true)
if bad then return bad end
each_step(key, function(step)
  again = again or step.name == from
  if again and (step.state ~= 'done' or from ~= '') then
    step.state, step.started_at, step.finished_at = 'waiting', 0, 0
    redis.call('HDEL', key, 'out:' .. step.name)
  end
end)
redis.call('HINCRBY', key, 'epoch', 1)
redis.call('HINCRBY', key, 'fence', 1)
redis.call('HDEL', key, 'error', 'cancel_reason', 'crashes', 'discarded_at')
redis.call('ZREM', beside(key, 'dead'), get(key, 'id'))
redis.call('ZREM', ENDED, key)
redis.call('PERSIST', key .. ':events')
set(key, 'attempt', 0, 'lost', 0, 'waiting_since', NOW, 'opened_at', NOW, 'finished_at', 0,
  'forced', ARGV[2])
stand_at(key, next_step(key))
emit(key, 'state')
line_up(key)
return 'ready'
