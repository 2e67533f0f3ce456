-- KEYS 1 the notifications, 2 their bytes.
local first = redis.call('HMGET', KEYS[1], 'agrees', 'awaits')
local number = first[1] or first[2]
if not number then
  return false
end
local kept = redis.call('HMGET', KEYS[2], 'body:' .. number, 'signature:' .. number)
-- Delivered and erased.
if not kept[1] then
  return false
end
return { kept[1], kept[2], redis.call('HGET', KEYS[1], number) }
