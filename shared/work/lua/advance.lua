-- include: all cancelling
-- A step is done. KEYS: job. ARGV: fence, step, output, progress of the whole job, bytes it moved,
-- parts that the job waits for before its next step, as JSON [[key, [field, value, …]], …] or "",
-- what the timeline says of it (done, hit).
-- Answers "continue" when the caller shall run the next step, "handed" when it waits for another
-- pool or for its parts, "paused" when it is to rest, "cancelled" or "succeeded" when the job is
-- over. Saying it again gets "continue" again.
local key, name = KEYS[1], ARGV[2]
local bad = guard(key, ARGV[1])
if bad then return bad end
if get(key, 'step') ~= name then
  if get(key, 'out:' .. name) == ARGV[3] then return 'continue' end
  return refuse('STALE_FENCE', 'the job is at step ' .. get(key, 'step') .. ', not ' .. name)
end
note(key, ARGV[7], '', ARGV[5])
each_step(key, function(step)
  if step.name == name then step.state, step.finished_at = 'done', NOW end
end)
set(key, 'out:' .. name, ARGV[3], 'progress', ARGV[4])
redis.call('HDEL', key, 'checkpoint', 'checkpoint_before', 'crashes')
local following = next_step(key)
if not following then
  finish(key, 'succeeded')
  return 'succeeded'
end
if get(key, 'state') == 'cancelling' then
  finish(key, 'cancelled')
  return 'cancelled'
end

-- Let another worker go on: where the next step runs, after the parts, or after a rest.
local function hand_on(pending)
  move(key, 'ready')
  drop_lease(key)
  stand_at(key, following)
  if get(key, 'pause_requested') then
    rest(key)
    return 'paused'
  end
  if pending > 0 then move(key, 'blocked') end
  emit(key, 'state')
  if pending == 0 then line_up(key) end
  return 'handed'
end

local pending = ARGV[6] ~= '' and split(key, cjson.decode(ARGV[6])) or 0
local moves_on = following.pool ~= get(key, 'pool') or (following.needs or '') ~= get(key, 'needs')
if pending > 0 or moves_on or get(key, 'pause_requested') then return hand_on(pending) end
begin_step(key, following.name)
emit(key, 'state')
return 'continue'
