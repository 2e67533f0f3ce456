-- A delivery once, ever: one that is done or dead stays as it is. A check that somebody has in hand may have asked Khipu
-- already: what is scheduled meanwhile follows it.
local function schedule(id, kind, agenda, due)
  local known = errand(PAYMENT, kind)
  if kind == 'check' and known.token then
    if not known.again or tonumber(due) < tonumber(known.again) then
      redis.call('HSET', PAYMENT, 'check_again', due)
    end
    return
  end
  local begins = not known.standing or (kind == 'check' and known.standing == 'dead')
  local hurries = known.standing == 'open' and known.attempts == '0' and tonumber(due) < tonumber(known.due)
  if begins or hurries then
    redis.call('HSET', PAYMENT, kind .. '_standing', 'open', kind .. '_due', due, kind .. '_attempts', '0')
    local from = math.max(tonumber(due), tonumber(known['until'] or due))
    redis.call('ZADD', agenda, whole(from), id)
  end
end
