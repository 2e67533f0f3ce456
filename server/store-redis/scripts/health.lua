-- Writes a key, to find out whether writing works.
local PROBE = KEYS[1] -- string
local KEPT = ARGV[1] -- how long, in ms

redis.call('SET', PROBE, '1', 'PX', KEPT)
return 1
