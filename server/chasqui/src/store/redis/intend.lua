-- KEYS 1 the intent. ARGV 1 account, 2 how long it is kept in ms, from 3 on the other fields that are set, each with its value.
local owner = redis.call('HGET', KEYS[1], 'account')
if owner then
  return owner == ARGV[1] and 1 or 0
end
redis.call('HSET', KEYS[1], 'account', ARGV[1], unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
