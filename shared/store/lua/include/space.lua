-- What the scripts of space share. Each tenant has a hash of bytes by file, with their "total"; a
-- file whose upload is under way has a lease, and bytes that have still to come.
--   rw:space:leases    <hash>|<file> by the time its lease ends
--   rw:space:due       bytes still to come by <hash>|<file>, with their "total"
local LEASES, DUE = 'rw:space:leases', 'rw:space:due'
local TIME = redis.call('TIME')
local NOW = tonumber(TIME[1]) * 1000 + math.floor(tonumber(TIME[2]) / 1000)

local function refuse(code, detail)
  return redis.error_reply('RW ' .. code .. ' ' .. detail)
end

local function amount(hash, field)
  return tonumber(redis.call('HGET', hash, field) or 0)
end

-- Doubles count whole bytes up to 2^53; Lua would write large ones with an exponent.
local function set(hash, field, to)
  local by = to - amount(hash, field)
  if to > 0 then redis.call('HSET', hash, field, string.format('%.0f', to))
  else redis.call('HDEL', hash, field) end
  if by == 0 then return end
  redis.call('HSET', hash, 'total', string.format('%.0f', math.max(0, amount(hash, 'total') + by)))
end

local function give(name)
  local hash, file = string.match(name, '^(.*)|([^|]*)$')
  set(hash, file, 0)
  set(DUE, name, 0)
  redis.call('ZREM', LEASES, name)
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', NOW, 'LIMIT', 0, 100)) do
  give(name)
end
