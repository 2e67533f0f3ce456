-- Reopens a delivery that is done or dead, or schedules one that never was. Replies with REOPENED, ALREADY_OPEN, NOT_CONFIRMED,
-- UNKNOWN, or FOREIGN if the payment is another account's.
-- KEYS: PAYMENT, NOTIFIED, RAW, TIMELINE: see include/payment.lua; QUEUE (sorted set): that of deliveries.
-- ARGV: RETENTION, RAW_RETENTION, PUBLISH, CHANNEL, ID, PREFIX, LISTINGS_KEPT: see include/payment.lua; ACCOUNT; AT: when it is
-- due.
local PAYMENT, NOTIFIED, RAW, TIMELINE, QUEUE = unpack(KEYS)
local RETENTION, RAW_RETENTION, PUBLISH, CHANNEL, ID, PREFIX, LISTINGS_KEPT, ACCOUNT, AT = unpack(ARGV)
-- include constants
-- include clock
-- include listing
-- include payment
-- include job

local known = state()
if not known then
  return UNKNOWN
elseif redis.call('HGET', PAYMENT, 'account') ~= ACCOUNT then
  return FOREIGN
elseif known.version ~= CONFIRMED then
  return NOT_CONFIRMED
elseif redis.call('HGET', PAYMENT, DELIVERY_STATE) == OPEN then
  return ALREADY_OPEN
end
redis.call('HSET', PAYMENT, DELIVERY_STATE, OPEN, field(DELIVERY, 'due'), AT, field(DELIVERY, 'attempts'), '0')
enqueue({ QUEUE }, ID, 0, AT)
list_delivery(OPEN)
record(ENTRY_REDELIVERED .. ' ' .. AT)
expire(known.version)
return REOPENED
