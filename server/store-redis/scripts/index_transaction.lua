-- Adds a payment to its transaction's index.
local INDEX = KEYS[1] -- sorted set: the transaction's payments by their creation
local ID = ARGV[1] -- the payment's
local CREATED_AT = ARGV[2]
local LIMIT = ARGV[3] -- the most that are kept
local KEPT = ARGV[4] -- how long, in ms

redis.call('ZADD', INDEX, 'LT', CREATED_AT, ID)
redis.call('ZREMRANGEBYRANK', INDEX, 0, -1 - LIMIT)
redis.call('PEXPIRE', INDEX, KEPT)
return 1
