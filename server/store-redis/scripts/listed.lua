-- Reads an account's listing in this partition: ids and scores, the lowest first.
local LISTING = KEYS[1] -- sorted set
local FROM = ARGV[1] -- the first score
local LIMIT = ARGV[2] -- how many

return redis.call('ZRANGE', LISTING, FROM, '+inf', 'BYSCORE', 'LIMIT', 0, LIMIT, 'WITHSCORES')
