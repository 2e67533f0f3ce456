-- Reads what can be leased now: for each queue the ids with their scores, the earliest first.
local QUEUES = KEYS -- sorted sets
local NOW = ARGV[1] -- the caller's clock, or empty
local LIMIT = ARGV[2] -- how many of each queue
-- include clock

local due = {}
local at = whole(now(NOW))
for i, queue in ipairs(QUEUES) do
  due[i] = redis.call('ZRANGE', queue, '-inf', at, 'BYSCORE', 'LIMIT', 0, LIMIT, 'WITHSCORES')
end
return due
