-- KEYS 1 when the account's next question is due. ARGV 1 the caller's clock or nothing, 2 the pause in microseconds, 3 how
-- long it is kept in ms.
local over = now_us(ARGV[1]) + ARGV[2]
if over > tonumber(redis.call('GET', KEYS[1]) or 0) then
  redis.call('SET', KEYS[1], whole(over), 'PX', ARGV[3])
end
return 1
