-- ARGV 1 the caller's clock or nothing, 2 kind, 3 lease in ms, 4 how many agendas there are, from 5 on id and token for each
-- payment. KEYS the agendas, by priority, and then the payments whose jobs are to be taken. Answers with the attempts so
-- far and the priority, or with nothing for one that somebody else was quicker to take. Doing it again takes what it took
-- before.
local kind, count = ARGV[2], tonumber(ARGV[4])
local agendas = { unpack(KEYS, 1, count) }
local at = now(ARGV[1])
local ends = whole(at + ARGV[3])
local taken = {}
for i = 1, #KEYS - count do
  local payment, id, token = KEYS[count + i], ARGV[2 * i + 3], ARGV[2 * i + 4]
  local found = job(payment, kind)
  taken[i] = false
  if found.standing ~= 'open' then
    place(agendas, id)
  elseif found.token == token or tonumber(found.due) <= at and tonumber(found['until'] or at) <= at then
    redis.call('HSET', payment, kind .. '_token', token, kind .. '_until', ends)
    place(agendas, id, found.priority, ends)
    taken[i] = { found.attempts, found.priority }
  end
end
return taken
