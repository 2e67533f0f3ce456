-- A delivery once, ever: one that is done or dead stays as it is, and one that was attempted keeps its time. A check is due
-- at the earlier of what is planned and what is asked for, and from the first attempt. One that is leased may have asked
-- Khipu already: what is scheduled meanwhile follows it.
local function schedule(id, kind, agendas, due, priority)
  local known = job(PAYMENT, kind)
  local is_check, is_open = kind == 'check', known.standing == 'open'
  if is_check and known.token then
    if known.again then
      due = math.min(due, known.again)
      priority = math.min(priority, known.again_priority)
    end
    redis.call('HSET', PAYMENT, 'check_again', whole(due), 'check_again_priority', priority)
    return
  end
  if is_check and is_open then
    due = math.min(due, known.due)
    priority = math.min(priority, known.priority)
  end
  local moves = not known.standing or (is_open and known.attempts == '0' and due < tonumber(known.due))
  if not is_check and not moves then
    return
  end
  redis.call('HSET', PAYMENT, kind .. '_standing', 'open', kind .. '_due', whole(due), kind .. '_attempts', '0')
  if is_check then
    redis.call('HSET', PAYMENT, 'check_priority', priority)
  end
  place(agendas, id, is_check and priority or 0, whole(math.max(due, tonumber(known['until'] or due))))
end

-- The payment is confirmed or reversed: what was planned to find that out is over, and a cross-check may follow.
local function end_checks(id, agendas, cross_check)
  local known = job(PAYMENT, 'check')
  redis.call('HDEL', PAYMENT, 'check_again', 'check_again_priority')
  if not known.token then
    redis.call('HDEL', PAYMENT, 'check_standing', 'check_due', 'check_attempts', 'check_priority')
    place(agendas, id)
  end
  if cross_check then
    schedule(id, 'check', agendas, cross_check, CROSS_CHECK)
  end
end
