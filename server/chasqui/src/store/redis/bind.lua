-- KEYS 1 the intent. ARGV 1 account, 2 the payment. The first payment that came of the intent stays. 0: it is another
-- account's.
local owner = redis.call('HGET', KEYS[1], 'account')
if owner and owner ~= ARGV[1] then
  return 0
end
if owner then
  redis.call('HSETNX', KEYS[1], 'payment_id', ARGV[2])
end
return 1
