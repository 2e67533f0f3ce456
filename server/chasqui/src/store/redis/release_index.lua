-- KEYS 1 the payments of a transaction. ARGV 1 the payment that is final, 2 how long it is kept in ms. Others may be open.
if redis.call('ZCARD', KEYS[1]) == 1 and redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
