-- Reads fields of hashes; nothing for a hash that does not exist.
local HASHES = KEYS
local FIELDS = ARGV -- the first is one that is always set

local found = {}
for i, hash in ipairs(HASHES) do
  local fields = redis.call('HMGET', hash, unpack(FIELDS))
  found[i] = fields[1] and fields
end
return found
