-- Publishes a message.
local CHANNEL = KEYS[1]
local PUBLISH = ARGV[1] -- the command: PUBLISH or SPUBLISH
local MESSAGE = ARGV[2]

return redis.call(PUBLISH, CHANNEL, MESSAGE)
