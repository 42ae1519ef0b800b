-- Let go of a request that was begun. KEYS: its record. ARGV: owner, seconds to live, how, answer:
--   finished   the answer is given to every repetition
--   released   a repetition may go on from here
--   forgotten  nothing was begun, the key is free; with a receipt something was: then released
-- Answers 1 when it was still ours. Without its owner a late renewal finds nothing to renew.
local key, how = KEYS[1], ARGV[3]
if redis.call('HGET', key, 'owner') ~= ARGV[1] then return 0 end
if how == 'forgotten' and redis.call('HGET', key, 'receipt') == '' then
  return redis.call('DEL', key)
end
redis.call('HDEL', key, 'owner', 'until')
if how == 'finished' then redis.call('HSET', key, 'answer', ARGV[4]) end
redis.call('EXPIRE', key, ARGV[2])
return 1
