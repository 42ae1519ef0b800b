-- include: all
-- The worker has stopped a job that was being cancelled. KEYS: job. ARGV: fence.
local key = KEYS[1]
local bad = guard(key, ARGV[1])
if bad then return bad end
if get(key, 'state') ~= 'cancelling' then return move(key, 'cancelled') end
return give_back(key, 'cancelled')
