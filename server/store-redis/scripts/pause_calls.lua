-- Holds the account's calls back until a pause is over.
local BUCKET = KEYS[1] -- string: when the account's next slot is due
local NOW = ARGV[1] -- the caller's clock in ms, or empty
local PAUSE = ARGV[2] -- in microseconds
local KEPT = ARGV[3] -- how long the bucket is kept, in ms
-- include clock

local over = now_us(NOW) + PAUSE
if over > tonumber(redis.call('GET', BUCKET) or 0) then
  redis.call('SET', BUCKET, whole(over), 'PX', KEPT)
end
return 1
