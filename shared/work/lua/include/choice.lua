-- Which line a free slot serves. shared.work.priority.choose is the definition.
--   rw:jobs:claims:<pool>    how many claims got a job
--   rw:jobs:turns:<pool>     tenant -> its virtual time, while that is ahead of the pool's
--   rw:jobs:turn:<pool>      the pool's virtual time
local GUARD_EVERY, HEADS_SEEN, STRIDE = 20, 64, 10000
local RESERVE_AFTER = 10 * 60 * 1000

local function claims_of(pool)
  return 'rw:jobs:claims:' .. pool
end

-- The virtual times of tenants, in their order.
local function turns_of(pool, tenants)
  local clock = tonumber(redis.call('GET', 'rw:jobs:turn:' .. pool) or '0')
  local turns = redis.call('ZMSCORE', 'rw:jobs:turns:' .. pool, unpack(tenants))
  for at, turn in ipairs(turns) do turns[at] = math.max(clock, tonumber(turn or '0')) end
  return turns
end

-- A tenant was served: its next turn is later by a stride, the shorter the greater its weight. Who
-- was away is lifted to the pool's time by turns_of, so nobody saves turns up.
local function charge(pool, tenant)
  local turn, turns = turns_of(pool, { tenant })[1], 'rw:jobs:turns:' .. pool
  local weight = tonumber(redis.call('HGET', 'rw:jobs:tenant:' .. tenant, 'weight') or '1')
  redis.call('SET', 'rw:jobs:turn:' .. pool, string.format('%.0f', turn))
  redis.call('ZADD', turns, string.format('%.0f', turn + math.floor(STRIDE / weight)), tenant)
  redis.call('ZREMRANGEBYSCORE', turns, '-inf', string.format('%.0f', turn))
end

-- The heads of the pool's classes, best first; what cannot run here now is marked.
local function heads_of(pool, free, total)
  local heads = {}
  for _, class in ipairs(redis.call('SMEMBERS', 'rw:jobs:classes:' .. pool)) do
    local head = redis.call('ZRANGE', 'rw:jobs:class:' .. pool .. ':' .. class, 0, 0, 'WITHSCORES')
    if #head > 0 and fits(class, total) then
      local since = tonumber(head[2])
      heads[#heads + 1] = {
        class = class, tenant = head[1], since = since, level = effective(class, since),
        fits = fits(class, free),
      }
    end
  end
  return heads
end

local function is_before(a, b)
  if a.since ~= b.since then return a.since < b.since end
  if a.tenant ~= b.tenant then return a.tenant < b.tenant end
  return a.class < b.class
end

local function oldest(heads)
  local best
  for _, head in ipairs(heads) do
    if head.fits and (not best or is_before(head, best)) then best = head end
  end
  return best
end

-- The highest level that can be served here. Work that needs more than is free now lets smaller
-- work pass; once it has waited long it is reserved for, and then nothing is served.
local function level_to_serve(heads)
  local level, reserved
  for _, head in ipairs(heads) do
    if head.fits then level = math.max(level or 0, head.level)
    elseif NOW - head.since > RESERVE_AFTER then reserved = math.max(reserved or 0, head.level) end
  end
  if reserved and level and reserved >= level then return nil end
  return level
end

local function is_sooner(a, b)
  if a.turn ~= b.turn then return a.turn < b.turn end
  return is_before(a, b)
end

-- The best of those in a class that are as urgent as its head, or the one that is better still.
local function best_in_class(pool, head, best)
  local index = 'rw:jobs:class:' .. pool .. ':' .. head.class
  local seen = redis.call('ZRANGE', index, 0, HEADS_SEEN - 1, 'WITHSCORES')
  local equals, tenants = {}, {}
  for at = 1, #seen, 2 do
    local since = tonumber(seen[at + 1])
    if effective(head.class, since) ~= head.level then break end
    equals[#equals + 1] = { class = head.class, tenant = seen[at], since = since }
    tenants[#tenants + 1] = seen[at]
  end
  for at, turn in ipairs(turns_of(pool, tenants)) do
    equals[at].turn = turn
    if not best or is_sooner(equals[at], best) then best = equals[at] end
  end
  return best
end

-- The line to serve next: the highest effective priority, of those the tenant whose turn is next,
-- then the longest wait; every 20th claim that gets a job takes the longest wait of all, so that no
-- class starves. (Looking in vain does not count: idle workers would use up the turns.)
local function best_line(pool, free, total)
  local heads = heads_of(pool, free, total)
  local served = tonumber(redis.call('GET', claims_of(pool)) or '0') + 1
  if served % GUARD_EVERY == 0 then return oldest(heads) end
  local level = level_to_serve(heads)
  local best
  for _, head in ipairs(heads) do
    if head.fits and head.level == level then best = best_in_class(pool, head, best) end
  end
  return best
end
