-- A circuit breaker: may a provider be called for a tenant, and what became of the call.
-- KEYS: the breaker, the index of those that are open. ARGV: act, the call's token, the breaker's
-- name in the index, how many failures in a row open it, then in ms: after how long without one they
-- are forgotten, how long it stays open, how long a probe is waited for.
--   ask       answers {"pass", "probe" or "open", ms until it is worth asking again, failures so far}
--   keep      the probe goes on
--   answered  the provider has answered, whatever it said
--   failed    it has not
--   leave     nobody knows
-- All but ask answer "opened" or "closed" when that is what the breaker has become, else "".
local KEPT = 24 * 3600 * 1000
local key, index, act, token, name = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local most, window, rest, patience =
  tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local TIME = redis.call('TIME')
local NOW = tonumber(TIME[1]) * 1000 + math.floor(tonumber(TIME[2]) / 1000)

local held = redis.call('HMGET', key, 'failures', 'open_until', 'probe', 'probe_until')
local failures, open_until = tonumber(held[1] or '0'), tonumber(held[2] or '0')
local is_open, is_probe = open_until > 0, held[3] == token

local function ask()
  if not is_open then return { 'pass', 0, failures } end
  local left = math.max(open_until, tonumber(held[4] or '0')) - NOW
  if left > 0 then return { 'open', left, failures } end
  redis.call('HSET', key, 'probe', token, 'probe_until', NOW + patience)
  return { 'probe', patience, failures }
end

local function open()
  redis.call('HSET', key, 'failures', failures + 1, 'open_until', NOW + rest)
  redis.call('HSETNX', key, 'opened_at', NOW)
  redis.call('HDEL', key, 'probe', 'probe_until')
  redis.call('PEXPIRE', key, KEPT)
  redis.call('ZADD', index, NOW + KEPT, name)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', NOW)
  return 'opened'
end

if act == 'ask' then return ask() end
if is_open and not is_probe then return '' end -- the call began before; it says nothing about now
if act == 'answered' then
  redis.call('DEL', key)
  redis.call('ZREM', index, name)
  return is_open and 'closed' or ''
elseif act == 'failed' then
  if is_probe or failures + 1 >= most then return open() end
  redis.call('HINCRBY', key, 'failures', 1)
  redis.call('PEXPIRE', key, window)
elseif is_probe and act == 'keep' then
  redis.call('HSET', key, 'probe_until', NOW + patience)
elseif is_probe then
  redis.call('HDEL', key, 'probe', 'probe_until')
end
return ''
