-- KEYS 1 the agenda, from 2 on the payments whose errands are to be taken.
-- ARGV 1 the caller's clock or nothing, 2 kind, 3 lease in ms, from 4 on id and token for each. Answers with the attempts so
-- far, or with nothing for one that somebody else was quicker to take. Doing it again takes what it took before.
local agenda, kind = KEYS[1], ARGV[2]
local at = now(ARGV[1])
local ends = whole(at + ARGV[3])
local taken = {}
for i = 2, #KEYS do
  local id, token = ARGV[2 * i], ARGV[2 * i + 1]
  local found = errand(KEYS[i], kind)
  taken[i - 1] = false
  if found.standing ~= 'open' then
    redis.call('ZREM', agenda, id)
  elseif found.token == token or tonumber(found.due) <= at and tonumber(found['until'] or at) <= at then
    redis.call('HSET', KEYS[i], kind .. '_token', token, kind .. '_until', ends)
    redis.call('ZADD', agenda, ends, id)
    taken[i - 1] = found.attempts
  end
end
return taken
