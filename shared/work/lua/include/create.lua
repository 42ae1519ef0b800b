-- Jobs come into being in one way, whoever asks for them.
local QUEUED = { 'accepted', 'scheduled', 'ready', 'blocked', 'retrying', 'paused' }

-- How many jobs of a tenant wait for something.
local function queued_of(tenant)
  local total = 0
  local counted = redis.call('HMGET', 'rw:jobs:count:' .. tenant, unpack(QUEUED))
  for _, amount in ipairs(counted) do total = total + (tonumber(amount or '0') or 0) end
  return total
end

local function admitted_of(tenant)
  return 'rw:jobs:admitted:' .. tenant
end

-- What steps a job has is the same for thousands of jobs: until its first step begins, its hash
-- only names the text.
local function share_steps(fields)
  for at = 1, #fields, 2 do
    if fields[at] == 'steps' then
      local steps = fields[at + 1]
      local plan = redis.sha1hex(steps):sub(1, 16)
      redis.call('SET', PLANS .. plan, steps, 'NX')
      fields[at], fields[at + 1] = 'plan', plan
    end
  end
end

-- Create a job once; false when it is there already. fields: name, value, … of the new hash.
local function create(key, fields)
  if redis.call('EXISTS', key) == 1 then return false end
  share_steps(fields)
  redis.call('HSET', key, 'state', 'accepted', 'created_at', NOW, 'waiting_since', NOW,
    'epoch', 1, unpack(fields))
  count(key, 'accepted', 1)
  redis.call('ZADD', beside(key, 'jobs'), 0, get(key, 'id'))
  redis.call('ZREM', admitted_of(get(key, 'tenant')), get(key, 'id'))
  stand_at(key, next_step(key))
  if num(key, 'expires_at') > 0 then redis.call('ZADD', EXPIRING, num(key, 'expires_at'), key) end
  if num(key, 'due_at') > NOW then
    move(key, 'scheduled')
    redis.call('ZADD', DELAYED, num(key, 'due_at'), key)
    emit(key, 'state')
  else
    move(key, 'ready')
    emit(key, 'state')
    line_up(key)
  end
  return true
end

-- Split a job: its parts are created, and it waits until the last of them has ended.
-- parts: list of {key, {field, value, …}}. Answers how many it waits for.
local function split(key, parts)
  redis.call('DEL', key .. ':pending', key .. ':children')
  set(key, 'parts', #parts, 'parts_succeeded', 0, 'parts_failed', 0, 'parts_cancelled', 0,
    'parts_expired', 0)
  for _, part in ipairs(parts) do
    local child, fields = part[1], part[2]
    fields[#fields + 1] = 'parent'
    fields[#fields + 1] = key
    local known = get(child, 'state')
    create(child, fields)
    redis.call('RPUSH', key .. ':children', get(child, 'id'))
    if TERMINAL[known] then redis.call('HINCRBY', key, 'parts_' .. known, 1)
    else redis.call('SADD', key .. ':pending', get(child, 'id')) end
  end
  return redis.call('SCARD', key .. ':pending')
end
