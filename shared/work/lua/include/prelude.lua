-- What every script of the ledger shares. A job is a hash under a key that shared.tenancy built and
-- that ends in "job:<id>"; ":events", ":timeline", ":children" and ":pending" lie beside it under the
-- same key. Only Redis TIME is asked.
local LEASES, DELAYED, OUTBOX = 'rw:jobs:leases', 'rw:jobs:delayed', 'rw:outbox:jobs'
local ENDED, EXPIRING = 'rw:jobs:ended', 'rw:jobs:expiring'
local ILLEGAL, SEQUENCES = 'rw:jobs:illegal', 'rw:jobs:sequences'
local PLANS = 'rw:jobs:plan:'
local EVENTS_KEPT, TENANT_EVENTS_KEPT, EVENTS_TTL = 500, 5000, 24 * 3600
local TIMELINE_KEPT = 200
local MAX_LOST = 3

local TIME = redis.call('TIME')
local NOW = tonumber(TIME[1]) * 1000 + math.floor(tonumber(TIME[2]) / 1000)

local function refuse(code, detail)
  return redis.error_reply('RW ' .. code .. ' ' .. detail)
end

local function get(key, field)
  return redis.call('HGET', key, field)
end

local function num(key, field)
  return tonumber(get(key, field) or '0') or 0
end

local function set(key, ...)
  redis.call('HSET', key, 'updated_at', NOW, ...)
end

-- A key of the job's tenant, beside its jobs.
local function beside(key, ...)
  return key:match('^(.*:)job:[^:]+$') .. table.concat({ ... }, ':')
end

-- Say something to the other services: the relay publishes it and then removes it.
local function say(key, id, kind, sort, body, to)
  body.kind = kind
  redis.call('XADD', OUTBOX, '*', 'id', id, 'kind', kind, 'sort', sort,
    'tenant', get(key, 'tenant'), 'correlation', get(key, 'correlation') or '',
    'causation', '', 'trace', get(key, 'trace') or '', 'body', cjson.encode(body),
    'to', to or '', 'key', get(key, 'id'))
end

-- Tell whoever watches of a change. What the relay finds of these goes out as one message.
local function tell_of(change)
  redis.call('XADD', OUTBOX, '*', 'id', change.job_id .. ':' .. change.epoch .. '-' .. change.seq,
    'kind', 'jobs.changed.v2', 'sort', 'event', 'body', cjson.encode(change), 'merge', 'changes')
end

-- What this script has made of jobs since it last told of them: the state before, who was lost.
local WAS, LOST = {}, {}

-- States also go to the stream of all jobs of the tenant, whose numbers have no gaps either.
local function emit_to_tenant(key, change, entry)
  local stream = beside(key, 'events')
  local seq = redis.call('HINCRBY', SEQUENCES, change.tenant, 1)
  redis.call('XADD', stream, 'MAXLEN', '~', TENANT_EVENTS_KEPT, '1-' .. seq, 'job', change.job_id,
    'flow', change.flow, 'subject', change.subject, 'entry', entry)
  redis.call('EXPIRE', stream, EVENTS_TTL)
end

-- Append one entry to the job's events and tell whoever watches. No gaps in seq. The entries are a
-- list, not a stream: a stream takes 4 KB with its first entry, and most jobs have few. As arrays
-- they need no names; shared/work/jobs.py has the order.
local function emit(key, kind)
  local seq = redis.call('HINCRBY', key, 'seq', 1)
  local is = redis.call('HMGET', key, 'tenant', 'id', 'flow', 'subject', 'pool', 'epoch', 'state',
    'step', 'progress', 'message', 'attempt', 'lost', 'error')
  local data = {
    state = is[7], step = is[8] or '', progress = tonumber(is[9] or '0'), message = is[10] or '',
    attempt = tonumber(is[11] or '0'), lost = tonumber(is[12] or '0'), at = NOW,
  }
  if is[13] then data.error = cjson.decode(is[13]) end
  local change = {
    tenant = is[1], job_id = is[2], flow = is[3], subject = is[4], pool = is[5],
    epoch = tonumber(is[6]), seq = seq, type = kind, data = data,
    was = WAS[key] or data.state, is_lost = LOST[key],
  }
  local entry = cjson.encode({ change.epoch, seq, kind, NOW, data.state, data.step, data.progress,
    data.message, data.attempt, data.lost, data.error })
  redis.call('RPUSH', key .. ':events', entry)
  redis.call('LTRIM', key .. ':events', -EVENTS_KEPT, -1)
  if kind ~= 'progress' then emit_to_tenant(key, change, entry) end
  tell_of(change)
  WAS[key], LOST[key] = nil, nil
end

-- One line of the job's timeline: what an attempt made of a step.
local function note(key, outcome, code, bytes)
  redis.call('RPUSH', key .. ':timeline', cjson.encode({
    epoch = num(key, 'epoch'), fence = num(key, 'fence'), step = get(key, 'step') or '',
    pool = get(key, 'pool'), worker = get(key, 'worker') or '', waited_ms = num(key, 'waited_ms'),
    started_at = num(key, 'step_at'), ended_at = NOW, outcome = outcome, error = code or '',
    bytes = tonumber(bytes or '0') or 0,
  }))
  redis.call('LTRIM', key .. ':timeline', -TIMELINE_KEPT, -1)
end
