-- Of each of the KEYS the fields of ARGV; nothing for one that is not there. The first field is one that is always set.
local found = {}
for i, key in ipairs(KEYS) do
  local fields = redis.call('HMGET', key, unpack(ARGV))
  found[i] = fields[1] and fields
end
return found
