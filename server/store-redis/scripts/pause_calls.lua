-- Holds the account's calls back until a pause is over.
local BUCKET = KEYS[1] -- string: when the account's next slot is due
local PAUSE = ARGV[1] -- in microseconds
local KEPT = ARGV[2] -- how long the bucket is kept, in ms
-- include clock

local over = now_us() + PAUSE
if over > tonumber(redis.call('GET', BUCKET) or 0) then
  redis.call('SET', BUCKET, whole(over), 'PX', KEPT)
end
return 1
