-- Records a visit, unless there are enough of its kind. Replies with whether it did. The payment is kept no longer than before.
local PAYMENT, TIMELINE = KEYS[1], KEYS[2] -- hash; list: what happened to it
local COUNT = ARGV[1] -- the field of the payment that counts visits of this kind
local LIMIT = tonumber(ARGV[2])
local ENTRY = ARGV[3] -- a line of the timeline
-- include constants

local kept = redis.call('HMGET', PAYMENT, 'status', COUNT)
if not kept[1] or tonumber(kept[2] or 0) >= LIMIT or redis.call('LLEN', TIMELINE) >= TIMELINE_LIMIT then
  return 0
end
redis.call('HINCRBY', PAYMENT, COUNT, 1)
redis.call('RPUSH', TIMELINE, ENTRY)
local left = redis.call('PTTL', PAYMENT)
if left > 0 then
  redis.call('PEXPIRE', TIMELINE, left)
end
return 1
