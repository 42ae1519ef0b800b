-- Begin the request of an idempotency key, or say what has become of it.
-- KEYS: its record. ARGV: fingerprint, owner, seed, milliseconds of the lease, seconds to live.
-- Answers {'finished', answer} or {'begun', seed, since when, receipt}. The seed is that of the
-- first who began: whoever goes on after it makes the same ids.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local key, fingerprint, owner = KEYS[1], ARGV[1], ARGV[2]
local found = redis.call('HMGET', key, 'fingerprint', 'answer', 'until')

if found[1] and found[1] ~= fingerprint then
  return redis.error_reply('RW MISMATCH this Idempotency-Key belongs to another request')
end
if found[2] then return { 'finished', found[2] } end
if found[3] and tonumber(found[3]) > now then
  return redis.error_reply('RW IN_PROGRESS the first request with this Idempotency-Key still runs')
end
if not found[1] then
  redis.call('HSET', key, 'fingerprint', fingerprint, 'seed', ARGV[3], 'since', now, 'receipt', '')
end
redis.call('HSET', key, 'owner', owner, 'until', now + tonumber(ARGV[4]))
redis.call('EXPIRE', key, ARGV[5])
local begun = redis.call('HMGET', key, 'seed', 'since', 'receipt')
return { 'begun', begun[1], begun[2], begun[3] }
