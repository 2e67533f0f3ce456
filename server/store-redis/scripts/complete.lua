-- Records the end of a request. Only the arrival that holds the key can, and only once.
local REQUEST = KEYS[1] -- hash
local ARRIVAL = ARGV[1]
local STATE = ARGV[2] -- empty: nothing was done, and the key is free again
local STATUS = ARGV[3] -- of the answer, where there is one
local BODY = ARGV[4]
-- include constants

local kept = redis.call('HMGET', REQUEST, REQUEST_STATE, 'arrival')
if kept[1] ~= IN_PROGRESS or kept[2] ~= ARRIVAL then
  return 0
end
if STATE == '' then
  redis.call('DEL', REQUEST)
else
  redis.call('HSET', REQUEST, REQUEST_STATE, STATE)
end
if STATE == ANSWERED then
  redis.call('HSET', REQUEST, 'status', STATUS, 'body', BODY)
end
return 1
