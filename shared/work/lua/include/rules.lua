-- What a tenant may run, as its jobs bring it along: at most so many jobs in one pool (0: no limit),
-- and how many turns it gets where another gets one.
local function keep_rules(tenant, limit, weight)
  local rules = 'rw:jobs:tenant:' .. tenant
  local before = redis.call('HMGET', rules, 'limit', 'weight')
  if before[1] ~= limit or before[2] ~= weight then
    redis.call('HSET', rules, 'limit', limit, 'weight', weight)
    refresh_tenant(tenant)
  end
end
