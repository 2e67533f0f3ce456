-- Reads the ids of a transaction's payments.
local INDEX = KEYS[1] -- sorted set

return redis.call('ZRANGE', INDEX, 0, -1)
