-- Stop a job in whatever state, and its parts with it. Answers the state it is in now.
local function cancel(key, reason)
  local state = get(key, 'state')
  if state == 'cancelling' then return state end
  set(key, 'cancel_reason', reason)
  if state == 'running' then
    move(key, 'cancelling')
    emit(key, 'state')
    say(key, get(key, 'id') .. ':control:' .. get(key, 'seq'), 'jobs.control.v1', 'event',
      { job_id = get(key, 'id') })
    return 'cancelling'
  end
  finish(key, 'cancelled')
  for _, id in ipairs(redis.call('SMEMBERS', key .. ':pending')) do
    local part = beside(key, 'job', id)
    local is = get(part, 'state')
    if is and not TERMINAL[is] then cancel(part, reason) end
  end
  return 'cancelled'
end
