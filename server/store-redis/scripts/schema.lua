-- Raises the schema version, and replies with it. A higher one stays.
local STORED = KEYS[1] -- string
local VERSION = ARGV[1] -- what this instance writes

if tonumber(redis.call('GET', STORED) or 0) < tonumber(VERSION) then
  redis.call('SET', STORED, VERSION)
end
return redis.call('GET', STORED)
