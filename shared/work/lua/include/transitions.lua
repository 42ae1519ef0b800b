-- The one table of what may follow what. Anything else is refused and counted.
local FOLLOWS = {
  accepted = { ready = true, scheduled = true, cancelled = true, expired = true, paused = true },
  scheduled = { ready = true, cancelled = true, expired = true, paused = true },
  ready = { running = true, blocked = true, cancelled = true, expired = true, paused = true },
  running = { ready = true, retrying = true, cancelling = true, succeeded = true, failed = true },
  blocked = { ready = true, cancelled = true, expired = true, paused = true },
  retrying = { ready = true, cancelled = true, expired = true, paused = true },
  paused = { ready = true, scheduled = true, retrying = true, cancelled = true, expired = true },
  cancelling = { cancelled = true, succeeded = true },
  succeeded = {},
  failed = { ready = true },
  cancelled = { ready = true },
  expired = { ready = true },
}
-- What a person may do to a job that has ended, and nothing else: open a new epoch of it.
local REOPENS = { succeeded = true, failed = true, cancelled = true, expired = true }
local TERMINAL = { succeeded = true, failed = true, cancelled = true, expired = true }

-- How many jobs of a tenant are in which state; exact, because every change of a state is here.
local function counts_of(key)
  return 'rw:jobs:count:' .. get(key, 'tenant')
end

local function count(key, state, by)
  if redis.call('HINCRBY', counts_of(key), state, by) <= 0 then
    redis.call('HDEL', counts_of(key), state)
  end
end

-- Move a job to another state; answers an error reply when that may not follow.
local function move(key, to, reopening)
  local from = get(key, 'state')
  if not from then return refuse('NOT_FOUND', 'there is no such job') end
  if not (FOLLOWS[from][to] or (reopening and REOPENS[from] and to == 'ready')) then
    redis.call('HINCRBY', ILLEGAL, from .. '>' .. to, 1)
    return refuse('ILLEGAL_TRANSITION', 'a job that is ' .. from .. ' cannot become ' .. to)
  end
  count(key, from, -1)
  count(key, to, 1)
  WAS[key] = WAS[key] or from
  set(key, 'state', to)
end

-- Whoever holds an older fence has lost the job and may not write any more.
local function guard(key, fence)
  local state = get(key, 'state')
  if not state then return refuse('NOT_FOUND', 'there is no such job') end
  if get(key, 'fence') ~= fence or (state ~= 'running' and state ~= 'cancelling') then
    return refuse('STALE_FENCE', 'this attempt no longer holds the job, which is ' .. state)
  end
end

-- What a worker hears: the job's state, or that a person wants it to rest.
local function wish(key)
  local state = get(key, 'state')
  if state == 'running' and get(key, 'pause_requested') then return 'pausing' end
  return state
end
