-- Keeps an intent no longer than its payment, which is final.
local INTENT = KEYS[1] -- hash
local ID = ARGV[1] -- the payment's
local KEPT = ARGV[2] -- how long, in ms

if redis.call('HGET', INTENT, 'payment_id') == ID then
  redis.call('PEXPIRE', INTENT, KEPT)
end
return 1
