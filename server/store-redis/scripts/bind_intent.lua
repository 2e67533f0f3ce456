-- Binds an intent to its payment; the first one stays. Replies with 0 if the intent is another account's.
local INTENT = KEYS[1] -- hash
local ACCOUNT = ARGV[1]
local ID = ARGV[2] -- the payment's

local owner = redis.call('HGET', INTENT, 'account')
if owner == ACCOUNT then
  redis.call('HSETNX', INTENT, 'payment_id', ID)
end
return (not owner or owner == ACCOUNT) and 1 or 0
