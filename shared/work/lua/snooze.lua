-- include: all
-- Something outside is not to be had now: wait for it without an attempt counted.
-- KEYS: job. ARGV: fence, delay in ms, why, error to end with when it has waited too long, how many
-- ms since the epoch began are too long. Answers the state the job is in now.
local key = KEYS[1]
local bad = guard(key, ARGV[1])
if bad then return bad end
if get(key, 'state') == 'cancelling' or get(key, 'pause_requested') then
  return give_back(key, 'released')
end
redis.call('HINCRBY', key, 'snoozes', 1)
note(key, 'snoozed', cjson.decode(ARGV[4]).code)
if NOW - tonumber(get(key, 'opened_at') or get(key, 'created_at')) > tonumber(ARGV[5]) then
  set(key, 'error', ARGV[4])
  finish(key, 'failed')
  return 'failed'
end
set(key, 'message', ARGV[3])
return delay(key, tonumber(ARGV[2]))
