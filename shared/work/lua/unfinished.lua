-- include: prelude transitions
-- The jobs of a tenant that have not ended, as they are at one event of its stream: those in a
-- worker's hands first, then the newest. KEYS: index of the tenant's jobs. ARGV: tenant, at most
-- how many, at how many to look, then ids to look at instead.
-- Answers {number of the latest event, 1 when there may be more, job as JSON, …}.
local index, tenant, most, farthest = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local prefix = index:match('^(.*:)jobs$') .. 'job:'
local answer = { tonumber(redis.call('HGET', SEQUENCES, tenant) or '0'), 0 }
local shown, looked = {}, 0

local function is_full() return #answer - 2 >= most or looked >= farthest end

local function look(key)
  if shown[key] then return end
  looked = looked + 1
  local state = get(key, 'state')
  if not state or TERMINAL[state] then return end
  shown[key] = true
  local job = {
    job = get(key, 'id'), video = get(key, 'subject'), flow = get(key, 'flow'),
    epoch = num(key, 'epoch'), seq = num(key, 'seq'), state = state,
    step = get(key, 'step') or '', progress = num(key, 'progress'),
    message = get(key, 'message') or '', attempt = num(key, 'attempt'), lost = num(key, 'lost'),
    at = num(key, 'updated_at'),
  }
  local failure = get(key, 'error')
  if failure then job.error = cjson.decode(failure) end
  answer[#answer + 1] = cjson.encode(job)
end

if #ARGV > 3 then
  for at = 4, #ARGV do look(prefix .. ARGV[at]) end
  return answer
end

local unfinished = 0
local counts = redis.call('HGETALL', 'rw:jobs:count:' .. tenant)
for at = 1, #counts, 2 do
  if not TERMINAL[counts[at]] then unfinished = unfinished + tonumber(counts[at + 1]) end
end

for _, key in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
  if is_full() then break end
  if key:sub(1, #prefix) == prefix then look(key) end
end
local from, page = 0, 100
while not is_full() and #answer - 2 < unfinished do
  local ids = redis.call('ZREVRANGE', index, from, from + page - 1)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    if is_full() or #answer - 2 >= unfinished then break end
    look(prefix .. id)
  end
  from = from + page
end
answer[2] = #answer - 2 < unfinished and 1 or 0
return answer
