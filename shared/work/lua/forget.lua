-- include: all leftovers
-- Remove what is known of jobs that ended long ago. ARGV: ended before (ms), at most how many.
-- Answers how many were removed.
local removed = 0
for _, key in ipairs(redis.call('ZRANGEBYSCORE', ENDED, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  redis.call('ZREM', ENDED, key)
  local state = get(key, 'state')
  if TERMINAL[state] then
    local id = get(key, 'id')
    say(key, id .. ':forgotten:' .. get(key, 'epoch'), 'jobs.discarded.v1', 'event',
      { job_id = id, upload_id = upload_of(key) })
    count(key, state, -1)
    redis.call('ZREM', beside(key, 'jobs'), id)
    redis.call('ZREM', beside(key, 'dead'), id)
    redis.call('DEL', key, key .. ':events', key .. ':timeline', key .. ':children', key .. ':pending')
    removed = removed + 1
  end
end
return removed
