-- Reads the earliest moment at which something can be leased; nothing where the queues are empty.
local QUEUES = KEYS -- sorted sets

local earliest = false
for _, queue in ipairs(QUEUES) do
  local score = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
  if score and (not earliest or tonumber(score) < tonumber(earliest)) then
    earliest = score
  end
end
return earliest
