-- KEYS 1 the last turn. ARGV 1 the caller's clock or nothing, 2 the gap and 3 how long a turn is remembered, in ms.
local at = now(ARGV[1])
local last = redis.call('GET', KEYS[1])
-- In either direction: a clock that was put back must not keep everybody waiting until it has caught up.
if last and math.abs(at - last) < tonumber(ARGV[2]) then
  return 0
end
redis.call('SET', KEYS[1], whole(at), 'PX', ARGV[3])
return 1
