-- KEYS 1 the request. ARGV 1 arrival, 2 what became of it, 3 status, 4 body.
local kept = redis.call('HMGET', KEYS[1], 'standing', 'arrival')
if kept[1] ~= 'under_way' or kept[2] ~= ARGV[1] then
  return 0
end
if ARGV[2] == 'nothing_done' then
  redis.call('DEL', KEYS[1])
else
  redis.call('HSET', KEYS[1], 'standing', ARGV[2])
end
if ARGV[2] == 'answered' then
  redis.call('HSET', KEYS[1], 'status', ARGV[3], 'body', ARGV[4])
end
return 1
