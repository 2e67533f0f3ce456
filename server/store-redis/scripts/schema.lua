-- Raises the schema version, and replies with it. A higher one stays.
local STORED = KEYS[1] -- string
local VERSION = ARGV[1] -- what this instance writes

local stored = tonumber(redis.call('GET', STORED))
if not stored or stored < tonumber(VERSION) then
  redis.call('SET', STORED, VERSION)
end
return redis.call('GET', STORED)
