-- Give a lease back. KEYS: the lease. ARGV: owner. Answers 1 when it was ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
