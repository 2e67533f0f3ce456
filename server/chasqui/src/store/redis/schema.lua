-- KEYS 1 the version. ARGV 1 this one's. A higher one stays.
local known = tonumber(redis.call('GET', KEYS[1]))
if not known or known < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1])
end
return redis.call('GET', KEYS[1])
