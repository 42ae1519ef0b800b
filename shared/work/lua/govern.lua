-- include: all
-- Change the rules of a pool or of a tenant while everything runs. ARGV: "pool" or "tenant", its
-- name, then field, value, …; an empty value removes the field. Answers the rules, field, value, …
local sort, name = ARGV[1], ARGV[2]
local rules = 'rw:jobs:' .. sort .. ':' .. name
for at = 3, #ARGV, 2 do
  if ARGV[at + 1] == '' then redis.call('HDEL', rules, ARGV[at])
  else redis.call('HSET', rules, ARGV[at], ARGV[at + 1]) end
end
if sort == 'tenant' then refresh_tenant(name) end
return redis.call('HGETALL', rules)
