-- Reserves the account's next slot for a call (store/call_pacer.rs), and replies with the wait. Times are microseconds.
local BUCKET = KEYS[1] -- string: when the next slot is due, were all evenly spread
local INTERVAL = ARGV[1] -- between two slots
local BURST = ARGV[2] -- how far an idle bucket may lie behind
local FARTHEST = ARGV[3] -- how far ahead a slot can lie
local KEPT = ARGV[4] -- how long the bucket is kept after its last slot
-- include clock

local at = now_us()
local due = tonumber(redis.call('GET', BUCKET) or 0)
local slot = due > at + FARTHEST and at - BURST or math.max(due, at - BURST)
local following = slot + INTERVAL
local kept = (math.max(following - at, 0) + KEPT) / 1000
redis.call('SET', BUCKET, whole(following), 'PX', whole(kept))
return tonumber(whole(math.max(slot - at, 0)))
