-- Recurring jobs: all schedules by their next time. A schedule is a hash under a key that
-- shared.tenancy built.
local SCHEDULES = 'rw:jobs:schedules'

-- The time for which a schedule waits from now on; 0 for none.
local function wait_until(schedule, at)
  redis.call('HSET', schedule, 'next_at', at)
  if tonumber(at) > 0 then redis.call('ZADD', SCHEDULES, at, schedule)
  else redis.call('ZREM', SCHEDULES, schedule) end
end
