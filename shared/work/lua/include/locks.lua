-- One attempt at a time per video. A lock is "<job key> <fence>" and as alive as that attempt: it is
-- given back by the script that ends the attempt, and one whose attempt is over binds nobody.
-- Jobs that found it taken wait beside it, out of the line.
local function lock_name(key)
  return get(key, 'lock') or get(key, 'subject')
end

local function lock_of(key)
  local name = lock_name(key)
  if name ~= '' then return beside(key, 'lock', name) end
end

local function waiters_of(key)
  return beside(key, 'blocked', lock_name(key))
end

-- The key of the job that holds the lock against this one, if any does.
local function held_by(key)
  local lock = lock_of(key)
  local holder, fence = ((lock and redis.call('GET', lock)) or ''):match('^(.+) (%d+)$')
  if holder and holder ~= key and not guard(holder, fence) then return holder end
end

local function take_lock(key)
  local lock = lock_of(key)
  if lock then redis.call('SET', lock, key .. ' ' .. get(key, 'fence')) end
end

-- Wait beside the lock; the place in line is kept.
local function wait_for_lock(key)
  move(key, 'blocked')
  redis.call('ZADD', waiters_of(key), num(key, 'waiting_since'), key)
  emit(key, 'state')
end

-- The best of those who wait for it gets back into line.
local function promote(waiters)
  local best
  for _, key in ipairs(redis.call('ZRANGE', waiters, 0, 63)) do
    if get(key, 'state') ~= 'blocked' then
      redis.call('ZREM', waiters, key)
    else
      local level = effective(class_of(key), num(key, 'waiting_since'))
      if not best or level > best.level then best = { key = key, level = level } end
    end
  end
  if best then
    redis.call('ZREM', waiters, best.key)
    move(best.key, 'ready')
    emit(best.key, 'state')
    line_up(best.key)
  end
end

local function free_lock(key)
  local lock = lock_of(key)
  if not lock then return end
  local holder = (redis.call('GET', lock) or ''):match('^(.+) %d+$')
  if holder == key then redis.call('DEL', lock) end
  if not holder or holder == key then promote(waiters_of(key)) end
end
