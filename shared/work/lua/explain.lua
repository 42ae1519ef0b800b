-- include: all
-- Why a job is where it is. KEYS: job. Answers field, value, … as JSON: its law, its rank among
-- those in line, and what it waits for.
local LINES_SEEN = 2000
local key = KEYS[1]
local state = get(key, 'state')
if not state then return refuse('NOT_FOUND', 'there is no such job') end
local pool, tenant, class = get(key, 'pool'), get(key, 'tenant'), class_of(key)
local since = num(key, 'waiting_since')
if state == 'paused' then since = NOW - num(key, 'waited') end
local level = effective(class, since)

-- How many of a line are before a job at this level that waits since then.
local function before(line, law)
  local above, same = level_since(law, level + 1), level_since(law, level)
  local ahead = above and redis.call('ZCOUNT', line, '-inf', above) or 0
  if not same then return ahead end
  local from = above and above < since and '(' .. above or '-inf'
  if above and above >= since then return ahead end
  return ahead + redis.call('ZCOUNT', line, from, '(' .. math.min(same + 1, since))
end

local ahead, seen, capped = 0, 0, false
if state == 'ready' then
  for _, law in ipairs(redis.call('SMEMBERS', 'rw:jobs:classes:' .. pool)) do
    for _, other in ipairs(redis.call('ZRANGE', 'rw:jobs:class:' .. pool .. ':' .. law, 0, -1)) do
      seen = seen + 1
      if seen > LINES_SEEN then capped = true break end
      ahead = ahead + before(line_of(pool, law, other), law)
    end
  end
end
local rules = redis.call('HMGET', 'rw:jobs:tenant:' .. tenant, 'paused', 'limit')
local own = redis.call('HMGET', 'rw:jobs:pool:' .. pool, 'paused', 'limit', 'average_ms')
local fresh = redis.call('ZCOUNT', 'rw:jobs:workers:' .. pool, NOW - 60 * 1000, '+inf')
return cjson.encode({
  state = state, pool = pool, now = NOW, waiting_since = since, effective = level,
  ahead = ahead, ahead_is_least = capped, needs = law_of(class).needs,
  tenant_paused = rules[1] and true or false, tenant_limit = tonumber(rules[2] or '0'),
  tenant_running = redis.call('SCARD', running_of(pool, tenant)),
  pool_paused = own[1] and true or false, pool_limit = tonumber(own[2] or '0'),
  pool_running = redis.call('SCARD', 'rw:jobs:busy:' .. pool), workers = fresh,
  average_ms = tonumber(own[3] or '0'), due_at = num(key, 'due_at'),
  pending = redis.call('SCARD', key .. ':pending'), held_by = (held_by(key) or ''):match('[^:]*$'),
})
