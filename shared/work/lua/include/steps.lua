-- Steps of a job, in order, and the ways an attempt or a wait comes to its end. A step has no
-- fields that are as shared.contracts.records.StepStatus has them by default.
local function steps_of(key)
  return cjson.decode(get(key, 'steps') or redis.call('GET', PLANS .. get(key, 'plan')))
end

local function each_step(key, change)
  local steps = steps_of(key)
  for index, step in ipairs(steps) do change(step, index) end
  set(key, 'steps', cjson.encode(steps))
end

local function next_step(key)
  for _, step in ipairs(steps_of(key)) do
    if step.state ~= 'done' then return step end
  end
end

-- What the job waits to do next: where, and what that needs.
local function stand_at(key, step)
  set(key, 'pool', step.pool, 'step', step.name, 'needs', step.needs or '')
end

local function begin_step(key, name)
  each_step(key, function(step)
    if step.name == name then
      step.state = 'running'
      if (step.started_at or 0) == 0 then step.started_at = NOW end
    end
  end)
  set(key, 'step', name, 'step_at', NOW, 'message', '')
end

-- Nobody works on the job any more: everything that a claim took is given back.
local function drop_lease(key)
  if not get(key, 'worker') then return end
  local rules, took = 'rw:jobs:pool:' .. get(key, 'pool'), NOW - num(key, 'claimed_at')
  local average = tonumber(redis.call('HGET', rules, 'average_ms') or took)
  redis.call('HSET', rules, 'average_ms', string.format('%.0f', average * 0.9 + took * 0.1))
  redis.call('ZREM', LEASES, key)
  redis.call('HDEL', key, 'lease_until', 'worker', 'claimed_at', 'step_at')
  let_go(key)
  free_lock(key)
end

-- Take a job out of wherever it waits.
local function withdraw(key, state)
  if state == 'ready' then leave_line(key)
  elseif state == 'blocked' and lock_of(key) then redis.call('ZREM', waiters_of(key), key)
  elseif state == 'scheduled' or state == 'retrying' then redis.call('ZREM', DELAYED, key) end
end

-- Back in line: the place in line is kept, because waiting_since is.
local function back_in_line(key)
  local bad = move(key, 'ready')
  if bad then return bad end
  drop_lease(key)
  emit(key, 'state')
  line_up(key)
end

-- A part of a job has ended: count it, and go on with the job after the last one.
local function tell_parent(key, outcome)
  local parent = get(key, 'parent')
  if not parent or redis.call('SREM', parent .. ':pending', get(key, 'id')) == 0 then return end
  redis.call('HINCRBY', parent, 'parts_' .. outcome, 1)
  if get(parent, 'state') ~= 'blocked' then return end
  local left, all = redis.call('SCARD', parent .. ':pending'), num(parent, 'parts')
  set(parent, 'message', (all - left) .. ' of ' .. all .. ' parts have ended')
  if left == 0 then
    back_in_line(parent)
  elseif NOW - num(parent, 'told_at') >= 250 then
    set(parent, 'told_at', NOW)
    emit(parent, 'progress')
  end
end

-- The end of a job, from any state that may end so.
local function finish(key, outcome)
  local from = get(key, 'state')
  local bad = move(key, outcome)
  if bad then return bad end
  withdraw(key, from)
  drop_lease(key)
  set(key, 'finished_at', NOW, 'message', '')
  if outcome == 'succeeded' then
    set(key, 'progress', 1)
    redis.call('HDEL', key, 'error')
  elseif outcome == 'failed' then
    redis.call('ZADD', beside(key, 'dead'), 0, get(key, 'id'))
  end
  redis.call('HDEL', key, 'checkpoint', 'checkpoint_before', 'pause_requested')
  redis.call('ZREM', EXPIRING, key)
  redis.call('ZADD', ENDED, NOW, key)
  emit(key, 'end')
  redis.call('EXPIRE', key .. ':events', EVENTS_TTL)
  local failure = cjson.decode(outcome == 'failed' and get(key, 'error') or '{}')
  say(key, get(key, 'id') .. ':finished:' .. get(key, 'epoch'), 'jobs.finished.v1', 'event', {
    job_id = get(key, 'id'), flow = get(key, 'flow'), subject = get(key, 'subject'),
    outcome = outcome, error_class = failure.error_class or '', error_code = failure.code or '',
  })
  tell_parent(key, outcome)
end

-- A job rests until a person lets it go on; the time it rests is no time in line.
local function rest(key)
  local from = get(key, 'state')
  if from == 'running' then
    move(key, 'ready')
    drop_lease(key)
  else
    withdraw(key, from)
  end
  move(key, 'paused')
  redis.call('HDEL', key, 'pause_requested')
  set(key, 'paused_from', from, 'paused_at', NOW, 'waited', NOW - num(key, 'waiting_since'))
  emit(key, 'state')
end

-- An attempt is over without a verdict: cancelled, put to rest, or back to its place in line.
local function give_back(key, outcome)
  note(key, outcome)
  if get(key, 'state') == 'cancelling' then
    finish(key, 'cancelled')
    return 'cancelled'
  end
  if get(key, 'pause_requested') then
    rest(key)
    return 'paused'
  end
  back_in_line(key)
  return 'ready'
end

-- Wait for a time, out of any worker's hands.
local function delay(key, ms)
  move(key, 'retrying')
  drop_lease(key)
  set(key, 'due_at', NOW + ms)
  redis.call('ZADD', DELAYED, NOW + ms, key)
  emit(key, 'state')
  return 'retrying'
end
