-- Saves an intent; one that is known stays. Replies with 0 if it is another account's.
local INTENT = KEYS[1] -- hash
local ACCOUNT = ARGV[1]
local KEPT = ARGV[2] -- how long, in ms
local FIELDS = 3 -- from here on: the other fields that are set, each with its value

local owner = redis.call('HGET', INTENT, 'account')
if owner then
  return owner == ACCOUNT and 1 or 0
end
redis.call('HSET', INTENT, 'account', ACCOUNT, unpack(ARGV, FIELDS))
redis.call('PEXPIRE', INTENT, KEPT)
return 1
