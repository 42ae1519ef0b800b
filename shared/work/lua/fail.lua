-- include: all
-- An attempt ended badly. KEYS: job. ARGV: fence, error, delay in ms before another attempt or -1,
-- 1 when it was a crash of the step's process.
-- Answers the state the job is in now.
local key, pause = KEYS[1], tonumber(ARGV[3])
local bad = guard(key, ARGV[1])
if bad then return bad end
if get(key, 'state') == 'cancelling' then return give_back(key, 'cancelled') end
redis.call('HINCRBY', key, 'attempt', 1)
if ARGV[4] == '1' then redis.call('HINCRBY', key, 'crashes', 1) end
set(key, 'error', ARGV[2])
local code = cjson.decode(ARGV[2]).code
note(key, 'failed', code)
if pause < 0 then
  finish(key, 'failed')
  return 'failed'
end
return delay(key, pause)
