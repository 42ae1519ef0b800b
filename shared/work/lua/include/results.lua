-- Results of a source: a record each, an index of their keys, and the jobs that rest on them.

-- A job uses a result. The index lasts as long as the longest of its records.
local function use_result(record, index, resting, job, seconds)
  redis.call('EXPIRE', record, seconds)
  if redis.call('TTL', index) < tonumber(seconds) then redis.call('EXPIRE', index, seconds) end
  redis.call('SADD', resting, job)
end
