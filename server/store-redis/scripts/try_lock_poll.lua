-- Takes the lock of a payment's polls. Replies with 0 where it was taken within the interval.
local LOCK = KEYS[1] -- string: when it was taken last
local MIN_INTERVAL = tonumber(ARGV[1]) -- in ms
local KEPT = ARGV[2] -- how long a lock is remembered, in ms
-- include clock

local at = now()
local last = redis.call('GET', LOCK)
-- The distance counts in both directions: after a clock was set back, polls must not wait until it has caught up.
if last and math.abs(at - last) < MIN_INTERVAL then
  return 0
end
redis.call('SET', LOCK, whole(at), 'PX', KEPT)
return 1
