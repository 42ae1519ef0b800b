-- The law of priority and the fit of resources. A class is "<base>:<rate>/<step>/<cap>:<needs>":
-- jobs that age alike and need alike. Needs are "name=amount,…", as in shared.work.resources.
local HIGHEST = 110
local laws = {}

local function law_of(class)
  if not laws[class] then
    local base, rate, step, cap, needs = class:match('^(%d+):(%d+)/(%d+)/(%d+):(.*)$')
    laws[class] = {
      base = tonumber(base), rate = tonumber(rate), step = tonumber(step) * 1000,
      cap = tonumber(cap), needs = needs,
    }
  end
  return laws[class]
end

-- base + min(cap, whole steps waited * rate), within 0 and 110. The same law as
-- shared.work.priority.effective_priority, which is its definition.
local function effective(class, waiting_since)
  local law = law_of(class)
  local steps = math.floor(math.max(0, NOW - waiting_since) / law.step)
  local boost = math.min(law.cap, steps * law.rate)
  return math.max(0, math.min(HIGHEST, law.base + boost))
end

-- Since when a job of a class must have waited to be at least at this level; nothing if never.
local function level_since(class, level)
  local law = law_of(class)
  local boost = level - law.base
  if level > HIGHEST or (boost > 0 and (boost > law.cap or law.rate == 0)) then return nil end
  if boost <= 0 then return NOW end
  return NOW - math.ceil(boost / law.rate) * law.step
end

local function amounts(text)
  local found = {}
  for name, amount in text:gmatch('([%w_]+)=(%d+)') do found[name] = tonumber(amount) end
  return found
end

-- Whether what a class needs is there. What is not offered is not there.
local function fits(class, offered)
  for name, amount in pairs(amounts(law_of(class).needs)) do
    if (offered[name] or 0) < amount then return false end
  end
  return true
end
