-- include: all
-- Give a job back because its worker leaves or the job is to rest: same place in line, no attempt
-- counted. KEYS: job. ARGV: fence. Answers the state the job is in now.
local key = KEYS[1]
local bad = guard(key, ARGV[1])
if bad then return bad end
if get(key, 'state') == 'running' and not get(key, 'pause_requested') then
  redis.call('HINCRBY', key, 'interrupts', 1)
end
return give_back(key, 'released')
