-- Keeps a transaction's index no longer than its only payment, which is final. Where there are others, one may be open.
local INDEX = KEYS[1] -- sorted set: the transaction's payments
local ID = ARGV[1] -- the payment's
local KEPT = ARGV[2] -- how long, in ms

if redis.call('ZCARD', INDEX) == 1 and redis.call('ZSCORE', INDEX, ID) then
  redis.call('PEXPIRE', INDEX, KEPT)
end
return 1
