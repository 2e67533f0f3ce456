-- Creates a payment, or fills in what was unknown of it. Replies as `outcome`, or FOREIGN if it is another account's.
-- KEYS: PAYMENT, NOTIFIED, RAW, TIMELINE: see include/payment.lua; CHECKS (sorted sets): the queues of checks, by priority.
-- ARGV: RETENTION, RAW_RETENTION, PUBLISH, CHANNEL, ID, PREFIX, LISTINGS_KEPT: see include/payment.lua; ACCOUNT; CREATED_AT; STATE: its version,
-- time, lateness and reason; AMOUNT (empty: there are no terms); CURRENCY; TRANSACTION_ID (may be empty); FIRST_CHECK: when
-- its first check is due; FIELDS: the other fields that are set, each with its value.
local PAYMENT, NOTIFIED, RAW, TIMELINE = unpack(KEYS)
local CHECKS = { unpack(KEYS, 5) }
local RETENTION, RAW_RETENTION, PUBLISH, CHANNEL, ID, PREFIX, LISTINGS_KEPT, ACCOUNT, CREATED_AT = unpack(ARGV)
local STATE = { version = tonumber(ARGV[10]), at = ARGV[11], late = ARGV[12], reason = ARGV[13] }
local AMOUNT, CURRENCY, TRANSACTION_ID, FIRST_CHECK = unpack(ARGV, 14, 17)
local FIELDS = { unpack(ARGV, 18) }
-- include constants
-- include clock
-- include listing
-- include payment
-- include job
-- include schedule
-- include status

local owner = redis.call('HMGET', PAYMENT, 'account', 'amount')
if owner[1] and owner[1] ~= ACCOUNT then
  if owner[2] then
    return FOREIGN
  end
  -- Another account's notification about a payment that was unknown here. It owns nothing: Khipu's answer names the
  -- owner, and what the other account sent about the payment is deleted.
  redis.call('DEL', PAYMENT, NOTIFIED, RAW, TIMELINE)
  unlist(owner[1], { ID })
end

local before, after = state(), STATE
if before then
  after = updated(before, STATE)
end
local changed = not before or after.version ~= before.version

-- What is known stays. Only of two dates of creation the earlier does: a payment that began with a notification was
-- created before that.
redis.call('HSETNX', PAYMENT, 'account', ACCOUNT)
local known = redis.call('HGET', PAYMENT, 'created_at')
if not known or tonumber(CREATED_AT) < tonumber(known) then
  redis.call('HSET', PAYMENT, 'created_at', CREATED_AT)
end
local has_new_terms = AMOUNT ~= '' and redis.call('HSETNX', PAYMENT, 'amount', AMOUNT) == 1
if has_new_terms then
  redis.call('HSET', PAYMENT, 'currency', CURRENCY)
  if TRANSACTION_ID ~= '' then
    redis.call('HSET', PAYMENT, 'transaction_id', TRANSACTION_ID)
  end
end
for i = 1, #FIELDS, 2 do
  redis.call('HSETNX', PAYMENT, FIELDS[i], FIELDS[i + 1])
end
if changed then
  change(after)
elseif has_new_terms then
  list_change(ACCOUNT)
end
-- Only the first creation is recorded and schedules a check; a repeated one does neither.
if redis.call('HSETNX', PAYMENT, 'created', '1') == 1 then
  record(ENTRY_CREATED .. ' ' .. CREATED_AT)
  if after.version < CONFIRMED then
    schedule(ID, CHECK, CHECKS, tonumber(FIRST_CHECK), SILENT)
  end
end
expire(after.version)
return outcome(before, after, changed)
