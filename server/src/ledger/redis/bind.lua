-- KEYS 1 the intent. ARGV 1 account, 2 the payment. The first payment that came of the intent stays.
if redis.call('HGET', KEYS[1], 'account') == ARGV[1] then
  redis.call('HSETNX', KEYS[1], 'payment_id', ARGV[2])
end
return 1
