-- Applies an observation. Replies as `outcome`, or FOREIGN if the payment is another account's.
-- KEYS: PAYMENT, NOTIFIED, RAW, TIMELINE: see include/payment.lua; DELIVERIES, EVENTS (sorted sets): the queues of
-- those jobs; CHECKS (sorted sets): the queues of checks, by priority.
-- ARGV: RETENTION, RAW_RETENTION, PUBLISH, CHANNEL, ID, PREFIX, LISTINGS_KEPT: see include/payment.lua; ACCOUNT; SOURCE; AT; VERSION: of the update
-- (empty: there is none); REPLACES: the version that it replaces (empty: any lower one); LATE; REASON (may be empty); DIGEST:
-- of the notification's body (empty: there is none); BODY; SIGNATURE; VERDICT; JOBS: kind, due time and priority of each.
local PAYMENT, NOTIFIED, RAW, TIMELINE = unpack(KEYS)
local DELIVERIES, EVENTS, CHECKS = { KEYS[5] }, { KEYS[6] }, { unpack(KEYS, 7) }
local RETENTION, RAW_RETENTION, PUBLISH, CHANNEL, ID, PREFIX, LISTINGS_KEPT, ACCOUNT, SOURCE, AT = unpack(ARGV)
local VERSION, REPLACES = tonumber(ARGV[11]), tonumber(ARGV[12])
local LATE, REASON, DIGEST, BODY, SIGNATURE, VERDICT = unpack(ARGV, 13, 18)
local JOBS = { unpack(ARGV, 19) }
-- include constants
-- include clock
-- include status
-- include listing
-- include payment
-- include job
-- include schedule
-- include keep_notification

-- A change that is to be sent: lines of a field, the oldest first.
local function add_event(after)
  local earlier = redis.call('HGET', PAYMENT, EVENTS_FIELD) or ''
  redis.call('HSET', PAYMENT, EVENTS_FIELD, earlier .. text(after) .. '\n')
end

local owner = redis.call('HGET', PAYMENT, 'account')
if owner and owner ~= ACCOUNT then
  return FOREIGN
end

local before = state()
local after = before or { version = CREATED, at = AT, late = '0', reason = '' }
if VERSION then
  after = updated(after, { version = VERSION, replaces = REPLACES, at = AT, late = LATE, reason = REASON })
end
local is_event = after.version ~= (before and before.version or CREATED)
local changed = not before or after.version ~= before.version

if not before then
  redis.call('HSET', PAYMENT, 'account', ACCOUNT, 'created_at', AT)
end
if changed then
  change(after)
end
local is_copy = DIGEST ~= '' and not keep_notification(DIGEST, BODY, SIGNATURE, VERDICT, AT)
if VERSION and (changed or (DIGEST ~= '' and not is_copy)) then
  record(table.concat({ ENTRY_OBSERVED, AT, SOURCE, VERSION, changed and 1 or 0 }, ' '))
end
local is_over, cross_check = after.version >= CONFIRMED, nil
for i = 1, #JOBS, 3 do
  local kind, due, priority = JOBS[i], tonumber(JOBS[i + 1]), tonumber(JOBS[i + 2])
  if kind == DELIVERY and after.version == CONFIRMED then
    schedule(ID, kind, DELIVERIES, due, priority)
  elseif kind == EVENT_JOB and is_event then
    add_event(after)
    schedule(ID, kind, EVENTS, due, priority)
  elseif kind == CHECK and not is_over then
    schedule(ID, kind, CHECKS, due, priority)
  elseif kind == CHECK and priority == CROSS_CHECK then
    cross_check = due
  end
end
if is_over and changed then
  end_checks(ID, CHECKS, cross_check)
end
if changed or DIGEST ~= '' or #JOBS > 0 then
  expire(after.version)
end
return outcome(before, after, changed)
