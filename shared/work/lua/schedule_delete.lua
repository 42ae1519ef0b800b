-- include: prelude schedules
-- Remove a schedule. KEYS: schedule, the tenant's list of them. ARGV: its name. Answers whether it was
-- there.
redis.call('ZREM', SCHEDULES, KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
