-- Erases the bytes and signatures of a payment's notifications. Replies with ERASED, ALREADY_OPEN, UNKNOWN, or FOREIGN if the
-- payment is another account's.
-- KEYS: PAYMENT, NOTIFIED, RAW, TIMELINE: see include/payment.lua.
-- ARGV: RETENTION, RAW_RETENTION, PUBLISH, CHANNEL, ID, PREFIX, LISTINGS_KEPT: see include/payment.lua; ACCOUNT; AT.
local PAYMENT, NOTIFIED, RAW, TIMELINE = unpack(KEYS)
local RETENTION, RAW_RETENTION, PUBLISH, CHANNEL, ID, PREFIX, LISTINGS_KEPT, ACCOUNT, AT = unpack(ARGV)
-- include constants
-- include clock
-- include listing
-- include payment

local known = state()
if not known then
  return UNKNOWN
elseif redis.call('HGET', PAYMENT, 'account') ~= ACCOUNT then
  return FOREIGN
elseif redis.call('HGET', PAYMENT, DELIVERY_STATE) == OPEN then
  return ALREADY_OPEN
end
local erased = redis.call('DEL', RAW)
-- The numbers up to this one get no bytes back, and what a merchant may be sent is chosen among later ones.
local count = redis.call('HGET', NOTIFIED, 'count')
if count then
  redis.call('HSET', NOTIFIED, ERASED_UP_TO, count)
  redis.call('HDEL', NOTIFIED, 'agrees', 'awaits')
end
if redis.call('HSETNX', PAYMENT, 'erased', '1') == 1 or erased == 1 then
  record(ENTRY_ERASED .. ' ' .. AT)
end
expire(known.version)
return ERASED
