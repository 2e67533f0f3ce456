-- KEYS agendas. ARGV 1 the caller's clock or nothing, 2 how many of each.
local due = {}
local at = whole(now(ARGV[1]))
for i, agenda in ipairs(KEYS) do
  due[i] = redis.call('ZRANGE', agenda, '-inf', at, 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
end
return due
