-- Reads the score of a payment in an account's listing of its partition; nothing if it is not listed.
local LISTING = KEYS[1] -- sorted set
local ID = ARGV[1]

return redis.call('ZSCORE', LISTING, ID)
