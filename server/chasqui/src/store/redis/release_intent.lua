-- KEYS 1 an intent. ARGV 1 the payment that is final, 2 how long it is kept in ms.
if redis.call('HGET', KEYS[1], 'payment_id') == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
