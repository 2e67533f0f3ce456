-- Applies an observation. Replies as `outcome`, or `foreign` if the payment is another account's.
-- The first four keys and five arguments have their names in include/payment.lua.
local DELIVERIES = { KEYS[5] } -- sorted set: the queue of deliveries
local CHECKS = { KEYS[6], KEYS[7], KEYS[8] } -- sorted sets: the queues of checks, by priority
local ACCOUNT = ARGV[6]
local SOURCE = ARGV[7]
local AT = ARGV[8]
local VERSION = tonumber(ARGV[9]) -- of the update; empty: there is none
local REPLACES = tonumber(ARGV[10]) -- the version that the update replaces; empty: any lower one
local LATE = ARGV[11]
local REASON = ARGV[12] -- may be empty
local DIGEST = ARGV[13] -- of the notification's body; empty: there is none
local BODY = ARGV[14]
local SIGNATURE = ARGV[15]
local VERDICT = ARGV[16]
local JOBS = 17 -- from here on: kind, due time and priority of each job
-- include constants
-- include clock
-- include status
-- include payment
-- include job
-- include schedule
-- include keep_notification

local owner = redis.call('HGET', PAYMENT, 'account')
if owner and owner ~= ACCOUNT then
  return FOREIGN
end

local before = state()
local after = before or { version = CREATED, at = AT, late = '0', reason = '' }
if VERSION then
  after = updated(after, { version = VERSION, replaces = REPLACES, at = AT, late = LATE, reason = REASON })
end
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
for i = JOBS, #ARGV, 3 do
  local kind, due, priority = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if kind == DELIVERY and after.version == CONFIRMED then
    schedule(ID, kind, DELIVERIES, due)
  elseif kind == CHECK and not is_over then
    schedule(ID, kind, CHECKS, due, priority)
  elseif kind == CHECK and priority == CROSS_CHECK then
    cross_check = due
  end
end
if is_over and changed then
  end_checks(ID, CHECKS, cross_check)
end
if changed or DIGEST ~= '' or #ARGV >= JOBS then
  expire(after.version)
end
return outcome(before, after, changed)
