-- include: upload
-- Give the right to change an upload back. KEYS: it. ARGV: owner. Answers 1 when it was ours.
if redis.call('HGET', key, 'holder') ~= ARGV[1] then return 0 end
return redis.call('HDEL', key, 'holder', 'held_until')
