-- KEYS 1 the request. ARGV 1 fingerprint, 2 arrival, 3 at, 4 the term, 5 the most that it can be under way, 6 how long it is
-- kept, all in ms.
local at = tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'fingerprint', 'arrival', 'begun_at', 'standing', 'status', 'body')
local fingerprint, arrival, standing = kept[1], kept[2], kept[4]
local begun_at = tonumber(kept[3])
if not fingerprint or begun_at <= at - ARGV[4] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'arrival', ARGV[2], 'begun_at', ARGV[3], 'standing', 'under_way')
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  return { 'fresh' }
elseif fingerprint ~= ARGV[1] then
  return { 'other_body' }
elseif standing == 'answered' then
  return { 'answered', kept[5], kept[6] }
elseif standing == 'under_way' and arrival == ARGV[2] then
  return { 'fresh' }
elseif standing == 'under_way' and at - begun_at < tonumber(ARGV[5]) then
  return { 'under_way' }
end
return { 'unknown' }
