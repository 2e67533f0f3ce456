-- Reads the notification that the merchant may be sent: bytes, signature and what is known of it.
local NOTIFIED = KEYS[1] -- hash: what is known of a payment's notifications
local RAW = KEYS[2] -- hash: their bytes and signatures

local first = redis.call('HMGET', NOTIFIED, 'agrees', 'awaits')
local number = first[1] or first[2]
if not number then
  return false
end
local kept = redis.call('HMGET', RAW, 'body:' .. number, 'signature:' .. number)
-- The bytes were delivered and erased.
if not kept[1] then
  return false
end
return { kept[1], kept[2], redis.call('HGET', NOTIFIED, number) }
