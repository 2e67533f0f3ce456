-- Ends a lease and records its attempt. Replies with 1, or with 0 if the lease was lost.
-- KEYS: PAYMENT, NOTIFIED, RAW, TIMELINE: see include/payment.lua; QUEUES (sorted sets): those of the job's kind, by priority.
-- ARGV: RETENTION, RAW_RETENTION, PUBLISH, CHANNEL, ID, PREFIX, LISTINGS_KEPT: see include/payment.lua; KIND; TOKEN: of the lease; RESULT: OPEN, DONE
-- or DEAD; DUE: when it is due again (empty: never); ATTEMPTS: how many it has afterwards; ATTEMPT: a line of the timeline
-- (empty: none); PRIORITY: of what is put back; ATTEMPTED_AT, ATTEMPT_RESULT: of the attempt.
local PAYMENT, NOTIFIED, RAW, TIMELINE = unpack(KEYS)
local QUEUES = { unpack(KEYS, 5) }
local RETENTION, RAW_RETENTION, PUBLISH, CHANNEL, ID, PREFIX, LISTINGS_KEPT = unpack(ARGV)
local KIND, TOKEN, RESULT, DUE, ATTEMPTS, ATTEMPT = unpack(ARGV, 8, 13)
local PRIORITY, ATTEMPTED_AT, ATTEMPT_RESULT = tonumber(ARGV[14]), ARGV[15], ARGV[16]
-- include constants
-- include clock
-- include listing
-- include payment
-- include job

local known = state()
if not known then
  enqueue(QUEUES, ID)
  return 0
end

-- A job that is finished again after an error has its attempt on the timeline already.
if ATTEMPT ~= '' and redis.call('LINDEX', TIMELINE, -1) ~= ATTEMPT then
  record(ATTEMPT)
end
if ATTEMPT ~= '' and KIND == DELIVERY then
  redis.call('HSET', PAYMENT, DELIVERY_LAST_AT, ATTEMPTED_AT, DELIVERY_LAST_RESULT, ATTEMPT_RESULT)
end

-- Ends the lease and stores the state.
local function put(state, due, attempts, priority)
  redis.call('HDEL', PAYMENT, field(KIND, 'due'), field(KIND, 'token'), field(KIND, 'lease_end'), field(KIND, 'next_due'),
    field(KIND, 'next_priority'))
  redis.call('HSET', PAYMENT, field(KIND, 'state'), state, field(KIND, 'attempts'), attempts)
  if due then
    redis.call('HSET', PAYMENT, field(KIND, 'due'), due)
    if KIND == CHECK then
      redis.call('HSET', PAYMENT, field(KIND, 'priority'), priority)
    end
  end
  enqueue(QUEUES, ID, priority, due)
  if KIND == DELIVERY then
    list_delivery(state)
  end
end

-- Removes the change that was sent, the first line of the field. Returns whether there are more.
local function remove_event()
  local changes = redis.call('HGET', PAYMENT, EVENTS_FIELD)
  local others = string.match(changes or '', '\n(.+)$')
  if others then
    redis.call('HSET', PAYMENT, EVENTS_FIELD, others)
  else
    redis.call('HDEL', PAYMENT, EVENTS_FIELD)
  end
  return others
end

local leased = job(PAYMENT, KIND)
local holds = leased.token == TOKEN
if holds then
  local goes_on = RESULT == OPEN
  local has_more_events = KIND == EVENT_JOB and RESULT == DONE and remove_event()
  if leased.next_due and leased.next_priority == CROSS_CHECK then
    -- The payment is confirmed: nothing else is left to find out.
    put(OPEN, leased.next_due, '0', CROSS_CHECK)
  elseif leased.next_due and goes_on then
    local is_earlier = tonumber(DUE) < tonumber(leased.next_due)
    put(OPEN, is_earlier and DUE or leased.next_due, '0', math.min(PRIORITY, leased.next_priority))
  elseif leased.next_due then
    put(OPEN, leased.next_due, '0', leased.next_priority)
  elseif goes_on then
    put(OPEN, DUE, ATTEMPTS, PRIORITY)
  elseif has_more_events then
    put(OPEN, leased.due, '0', SILENT)
  elseif RESULT == DONE and KIND ~= DELIVERY then
    put(DONE, nil, '0')
    redis.call('HDEL', PAYMENT, field(KIND, 'state'), field(KIND, 'attempts'), field(KIND, 'priority'))
  else
    put(RESULT, nil, ATTEMPTS)
  end
end
expire(known.version)
return holds and 1 or 0
