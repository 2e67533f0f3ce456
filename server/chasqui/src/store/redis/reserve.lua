-- The account's next slot for a question (store/bucket.rs). KEYS 1 when the next one is due, were all evenly spread. ARGV 1
-- the caller's clock or nothing, 2 the interval, 3 the burst, 4 how far ahead a slot can lie, all in microseconds. Answers
-- with the wait.
local at = now_us(ARGV[1])
local due = tonumber(redis.call('GET', KEYS[1]) or 0)
local earliest = at - ARGV[3]
local slot = math.max(due, earliest)
if due > at + ARGV[4] then
  slot = earliest
end
local following = slot + ARGV[2]
local kept = math.max(following - at, 0) / 1000 + 2000
redis.call('SET', KEYS[1], whole(following), 'PX', whole(kept))
return tonumber(whole(math.max(slot - at, 0)))
