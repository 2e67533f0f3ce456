-- Reads what can be leased now: for each queue the ids with their scores, the earliest first.
local QUEUES = KEYS -- sorted sets
local LIMIT = ARGV[1] -- how many of each queue
-- include clock

local due = {}
local at = whole(now())
for i, queue in ipairs(QUEUES) do
  due[i] = redis.call('ZRANGE', queue, '-inf', at, 'BYSCORE', 'LIMIT', 0, LIMIT, 'WITHSCORES')
end
return due
