-- Change records, indexes and the outbox together or not at all.
-- KEYS: the outbox. ARGV[1]: JSON with
--   once    {key, seconds}: do nothing if this key is there, else leave it (message seen before)
--   fence   {job, fence}: refuse unless this attempt still holds the job
--   expect  list of {key, version}: refuse unless the record has this version; 0 means absent
--   absent  list of keys that must not exist
--   set     list of {key, value} or {key, value, seconds to live}
--   delete  list of keys
--   index   list of {key, score, member};  unindex  list of {key, member}
--   say     list of outbox entries, each a list field, value, …
--   append  list of {stream, longest, field, value, …}
-- Answers 1, or 0 when it was seen before. What has been written is not taken back when a later
-- command fails, so everything that could fail is looked at before the first write.
local plan = cjson.decode(ARGV[1])

local function refuse(code, detail)
  return redis.error_reply('RW ' .. code .. ' ' .. detail)
end

-- Whether a key can be written as such a thing.
local function is_free_for(key, wanted)
  local found = redis.call('TYPE', key).ok
  return found == 'none' or found == wanted
end

local function unusable(key)
  return refuse('INVALID', key .. ' is something else than this change takes it for')
end

if plan.once and redis.call('EXISTS', plan.once[1]) == 1 then return 0 end
if plan.fence then
  local job = redis.call('HMGET', plan.fence[1], 'fence', 'state')
  if job[1] ~= plan.fence[2] or (job[2] ~= 'running' and job[2] ~= 'cancelling') then
    return refuse('STALE_FENCE', 'this attempt no longer holds the job')
  end
end
for _, want in ipairs(plan.expect or {}) do
  local value = redis.call('GET', want[1])
  local version = value and (cjson.decode(value).version or 'none') or 0
  if version ~= want[2] then
    return refuse('CONFLICT', 'the record has changed: version ' .. version .. ', not ' .. want[2])
  end
end
for _, key in ipairs(plan.absent or {}) do
  if redis.call('EXISTS', key) == 1 then return refuse('CONFLICT', 'it is there already') end
end
for _, entry in ipairs(plan.index or {}) do
  if not is_free_for(entry[1], 'zset') then return unusable(entry[1]) end
  if type(entry[2]) ~= 'number' then return refuse('INVALID', 'a score must be a number') end
end
for _, entry in ipairs(plan.unindex or {}) do
  if not is_free_for(entry[1], 'zset') then return unusable(entry[1]) end
end
for _, entry in ipairs(plan.append or {}) do
  if not is_free_for(entry[1], 'stream') then return unusable(entry[1]) end
end
if plan.say and not is_free_for(KEYS[1], 'stream') then return unusable(KEYS[1]) end
for _, put in ipairs(plan.set or {}) do
  if put[3] then redis.call('SET', put[1], put[2], 'EX', put[3])
  else redis.call('SET', put[1], put[2]) end
end
for _, key in ipairs(plan.delete or {}) do redis.call('DEL', key) end
for _, entry in ipairs(plan.index or {}) do redis.call('ZADD', entry[1], entry[2], entry[3]) end
for _, entry in ipairs(plan.unindex or {}) do redis.call('ZREM', entry[1], entry[2]) end
for _, entry in ipairs(plan.say or {}) do redis.call('XADD', KEYS[1], '*', unpack(entry)) end
for _, entry in ipairs(plan.append or {}) do
  redis.call('XADD', entry[1], 'MAXLEN', '~', entry[2], '*', unpack(entry, 3))
end
if plan.once then redis.call('SET', plan.once[1], '1', 'EX', plan.once[2]) end
return 1
