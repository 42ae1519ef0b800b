-- include: all
-- Bring back what has lost its worker and what is due again, end what has waited past its time.
-- ARGV: at most how many of each. Safe to run anywhere, any number of times.
-- Answers {lost, due, expired}.
local limit = tonumber(ARGV[1])
local counts = { lost = 0, due = 0, expired = 0 }

local function lost_worker(key)
  note(key, 'lost')
  LOST[key] = true
  redis.call('HINCRBY', key, 'fence', 1)
  if get(key, 'state') == 'cancelling' then
    finish(key, 'cancelled')
  elseif redis.call('HINCRBY', key, 'lost', 1) >= MAX_LOST then
    set(key, 'error', cjson.encode({
      code = 'worker_lost', error_class = 'worker_lost', step = get(key, 'step') or '',
      detail = 'the worker of this job died ' .. MAX_LOST .. ' times',
      hint = 'look for out-of-memory kills in the log of the host, then retry the job',
    }))
    finish(key, 'failed')
  elseif get(key, 'pause_requested') then
    rest(key)
  else
    back_in_line(key)
  end
end

-- Entries of jobs that are gone or in another state are only dropped: nothing is written to them.
local function each_due(index, act)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', NOW, 'LIMIT', 0, limit)) do
    redis.call('ZREM', index, key)
    act(key, get(key, 'state'))
  end
end

each_due(LEASES, function(key, state)
  if state == 'running' or state == 'cancelling' then
    lost_worker(key)
    counts.lost = counts.lost + 1
  end
end)
each_due(DELAYED, function(key, state)
  if state == 'retrying' or state == 'scheduled' then
    if state == 'scheduled' then set(key, 'waiting_since', NOW) end
    back_in_line(key)
    counts.due = counts.due + 1
  end
end)
each_due(EXPIRING, function(key, state)
  local waits = state and not TERMINAL[state] and state ~= 'running' and state ~= 'cancelling'
  if waits and num(key, 'started_at') == 0 then
    finish(key, 'expired')
    counts.expired = counts.expired + 1
  end
end)
return { counts.lost, counts.due, counts.expired }
