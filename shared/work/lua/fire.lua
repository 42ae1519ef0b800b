-- include: all rules schedules
-- The time of a schedule has come: make its job, or say why not, and go on to its next time. Whoever
-- comes first does it, all others find that time gone. KEYS: schedule, job. ARGV: the time that has
-- come, the next (0: none), why no job shall be made or "", how many jobs of the tenant may wait, the
-- tenant's limit and weight, then field, value, … of the job's hash.
-- Answers "fired", why not, or "gone".
local schedule, key = KEYS[1], KEYS[2]
local due, upcoming, reason, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local held = redis.call('HMGET', schedule, 'next_at', 'overlap', 'last_job', 'tenant')
local tenant = held[4]
if held[1] ~= due or tonumber(due) > NOW then return 'gone' end

local function outcome()
  if reason ~= '' then return reason end
  local before = get(beside(key, 'job', held[3] or ''), 'state')
  if held[2] == 'skip' and before and not TERMINAL[before] then return 'overlap' end
  return queued_of(tenant) < most and 'fired' or 'queue_full'
end

local became = outcome()
wait_until(schedule, upcoming)
redis.call('HSET', schedule, 'last_at', due, 'last_outcome', became)
if became == 'fired' then
  keep_rules(tenant, ARGV[5], ARGV[6])
  create(key, { unpack(ARGV, 7) })
  redis.call('HSET', schedule, 'last_job', get(key, 'id'))
elseif upcoming == '0' then
  redis.call('HSET', schedule, 'enabled', '0')
end
redis.call('HINCRBY', schedule, became == 'fired' and 'fired' or 'skipped', 1)
return became
