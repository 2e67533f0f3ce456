-- Reads an account's changes in this partition, and marks how far that reading is complete: every later change is after
-- the mark. Replies with the mark, and with ids and scores, the oldest first.
local CHANGES = KEYS[1] -- sorted set
local FROM = ARGV[1] -- the first score
local LIMIT = ARGV[2] -- how many
local KEPT = ARGV[3] -- how long the set is kept after its last write, in ms
local MARK = '' -- a member that is no payment's id
-- include clock

local newest = redis.call('ZRANGE', CHANGES, 0, 0, 'REV', 'WITHSCORES')[2]
local mark = whole(math.max(now(), tonumber(newest or 0)))
redis.call('ZREM', CHANGES, MARK)
local entries = redis.call('ZRANGE', CHANGES, FROM, '+inf', 'BYSCORE', 'LIMIT', 0, LIMIT, 'WITHSCORES')
redis.call('ZADD', CHANGES, mark, MARK)
redis.call('PEXPIRE', CHANGES, KEPT)
return { mark, entries }
