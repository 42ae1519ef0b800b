-- Lines of waiting jobs. Inside a class the oldest has the highest effective priority, so nothing
-- is ever rescored: only heads of classes are compared. A tenant that may not run more in a pool
-- is taken out of the indexes of its classes and put back when it may, so claims never look at it.
--   rw:jobs:classes:<pool>                    set of classes somebody may be served from
--   rw:jobs:class:<pool>:<class>              tenant -> time of its head
--   rw:jobs:line:<pool>:<class>:<tenant>      job key -> waiting_since
--   rw:jobs:lines:<tenant>                    set of "<pool> <class>" with somebody in line
--   rw:jobs:depth:<pool>                      base -> how many are in line
--   rw:jobs:running:<pool>:<tenant>           set of jobs that a worker holds
--   rw:jobs:busy:<pool>                       set of jobs that a worker holds, of all tenants
--   rw:jobs:tenant:<tenant>                   limit of running jobs per pool, weight, paused
--   rw:jobs:pool:<pool>                       limit of running jobs, paused, average duration
local function class_of(key)
  return get(key, 'base') .. ':' .. get(key, 'boost') .. ':' .. (get(key, 'needs') or '')
end

local function line_of(pool, class, tenant)
  return 'rw:jobs:line:' .. pool .. ':' .. class .. ':' .. tenant
end

local function running_of(pool, tenant)
  return 'rw:jobs:running:' .. pool .. ':' .. tenant
end

local function may_run(pool, tenant)
  local rules = redis.call('HMGET', 'rw:jobs:tenant:' .. tenant, 'paused', 'limit')
  if rules[1] then return false end
  local limit = tonumber(rules[2] or '0')
  return limit == 0 or redis.call('SCARD', running_of(pool, tenant)) < limit
end

local function refresh_head(pool, class, tenant)
  local index, classes = 'rw:jobs:class:' .. pool .. ':' .. class, 'rw:jobs:classes:' .. pool
  local lines = 'rw:jobs:lines:' .. tenant
  local head = redis.call('ZRANGE', line_of(pool, class, tenant), 0, 0, 'WITHSCORES')
  if #head > 0 then redis.call('SADD', lines, pool .. ' ' .. class)
  else redis.call('SREM', lines, pool .. ' ' .. class) end
  if #head > 0 and may_run(pool, tenant) then
    redis.call('ZADD', index, head[2], tenant)
    redis.call('SADD', classes, class)
  else
    redis.call('ZREM', index, tenant)
    if redis.call('ZCARD', index) == 0 then redis.call('SREM', classes, class) end
  end
end

-- Look again at all lines of a tenant, in one pool or in all.
local function refresh_tenant(tenant, only)
  for _, line in ipairs(redis.call('SMEMBERS', 'rw:jobs:lines:' .. tenant)) do
    local pool, class = line:match('^(%S+) (%S+)$')
    if not only or pool == only then refresh_head(pool, class, tenant) end
  end
end

local function ring(key, pool)
  say(key, 'ring:' .. get(key, 'id') .. ':' .. get(key, 'seq'), 'work.ring.v1', 'ring',
    { pool = pool }, pool)
end

-- Put a job into its line, at the place its waiting time earns.
local function line_up(key)
  local pool, class, tenant = get(key, 'pool'), class_of(key), get(key, 'tenant')
  set(key, 'ready_at', NOW)
  if redis.call('ZADD', line_of(pool, class, tenant), num(key, 'waiting_since'), key) == 1 then
    redis.call('HINCRBY', 'rw:jobs:depth:' .. pool, law_of(class).base, 1)
  end
  refresh_head(pool, class, tenant)
  ring(key, pool)
end

local function leave_line(key)
  local pool, class, tenant = get(key, 'pool'), class_of(key), get(key, 'tenant')
  if redis.call('ZREM', line_of(pool, class, tenant), key) == 1 then
    redis.call('HINCRBY', 'rw:jobs:depth:' .. pool, law_of(class).base, -1)
  end
  refresh_head(pool, class, tenant)
end

-- A worker holds the job from now on, or no longer: what counts against the limits.
local function hold(key, pool)
  local tenant = get(key, 'tenant')
  redis.call('SADD', running_of(pool, tenant), key)
  redis.call('SADD', 'rw:jobs:busy:' .. pool, key)
  if not may_run(pool, tenant) then refresh_tenant(tenant, pool) end
end

local function let_go(key)
  local pool, tenant = get(key, 'pool'), get(key, 'tenant')
  local could = may_run(pool, tenant)
  redis.call('SREM', running_of(pool, tenant), key)
  redis.call('SREM', 'rw:jobs:busy:' .. pool, key)
  if not could then refresh_tenant(tenant, pool) end
end
