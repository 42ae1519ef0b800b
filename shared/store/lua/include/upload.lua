-- What the scripts of uploads share. An upload is a hash under a key that shared.tenancy built; its
-- pieces, which are blobs, are a list beside it, in their order.
--   rw:uploads:expiring    uploads that are not complete, by the time they end
local EXPIRING = 'rw:uploads:expiring'
local key = KEYS[1]
local pieces = key .. ':pieces'
local TIME = redis.call('TIME')
local NOW = tonumber(TIME[1]) * 1000 + math.floor(tonumber(TIME[2]) / 1000)

local function refuse(code, detail)
  return redis.error_reply('RW ' .. code .. ' ' .. detail)
end

local function held_by(owner)
  local is = redis.call('HMGET', key, 'holder', 'held_until')
  return is[1] == owner and tonumber(is[2]) > NOW
end

-- It ends so many milliseconds from now, unless something happens to it before.
local function live_on(ms)
  redis.call('HSET', key, 'expires_at', NOW + ms)
  redis.call('ZADD', EXPIRING, NOW + ms, key)
end

-- All bytes are there: say so to whoever goes on with them. A part of another upload waits for that.
-- entry: field, value, … for the outbox; kept: for how many seconds one can still be asked about it.
local function complete(outbox, entry, kept)
  redis.call('HSET', key, 'state', 'complete')
  if redis.call('HGET', key, 'concat') == 'partial' then return end
  redis.call('ZREM', EXPIRING, key)
  redis.call('EXPIRE', key, kept)
  redis.call('XADD', outbox, '*', unpack(entry))
end
