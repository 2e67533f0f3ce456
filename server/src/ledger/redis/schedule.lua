-- A delivery once, ever: one that is done or dead stays as it is, and one that was attempted keeps its time. A check is due
-- at the earlier of what is planned and what is asked for, and from the first attempt. One that is leased may have asked
-- Khipu already: what is scheduled meanwhile follows it.
local function schedule(id, kind, agenda, due)
  local known = errand(PAYMENT, kind)
  local is_check, is_open = kind == 'check', known.standing == 'open'
  if is_check and known.token then
    if not known.again or tonumber(due) < tonumber(known.again) then
      redis.call('HSET', PAYMENT, 'check_again', due)
    end
    return
  end
  local is_earlier = not is_open or tonumber(due) < tonumber(known.due)
  local moves = not known.standing or (is_open and known.attempts == '0' and is_earlier)
  if not is_check and not moves then
    return
  end
  if not is_earlier then
    due = known.due
  end
  redis.call('HSET', PAYMENT, kind .. '_standing', 'open', kind .. '_due', due, kind .. '_attempts', '0')
  local from = math.max(tonumber(due), tonumber(known['until'] or due))
  redis.call('ZADD', agenda, whole(from), id)
end
