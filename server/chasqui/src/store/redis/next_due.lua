-- KEYS agendas.
local earliest = false
for _, agenda in ipairs(KEYS) do
  local score = redis.call('ZRANGE', agenda, 0, 0, 'WITHSCORES')[2]
  if score and (not earliest or tonumber(score) < tonumber(earliest)) then
    earliest = score
  end
end
return earliest
