-- A payment has one delivery: one that is done or dead stays as it is, and one that was attempted keeps its time. A job of
-- another kind is due at the earlier of what is planned and what is requested, and its attempts begin again. One that is
-- leased may have read what it needs already: what is scheduled meanwhile follows it.
local function schedule(id, kind, queues, due, priority)
  local known = job(PAYMENT, kind)
  local is_repeated, is_open = kind ~= DELIVERY, known.state == OPEN
  if is_repeated and known.token then
    if known.next_due then
      due, priority = math.min(due, known.next_due), math.min(priority, known.next_priority)
    end
    redis.call('HSET', PAYMENT, field(kind, 'next_due'), whole(due), field(kind, 'next_priority'), priority)
    return
  end
  if is_repeated and is_open then
    due, priority = math.min(due, known.due), math.min(priority, known.priority)
  end
  local moves = not known.state or (is_open and known.attempts == '0' and due < tonumber(known.due))
  if not is_repeated and not moves then
    return
  end
  redis.call('HSET', PAYMENT, field(kind, 'state'), OPEN, field(kind, 'due'), whole(due), field(kind, 'attempts'), '0')
  if kind == CHECK then
    redis.call('HSET', PAYMENT, field(kind, 'priority'), priority)
  end
  if kind == DELIVERY then
    list_delivery(OPEN)
  end
  enqueue(queues, id, priority, whole(math.max(due, tonumber(known.lease_end or due))))
end

-- The payment is confirmed or reversed: what was planned to find that out is over, and a cross-check may follow.
local function end_checks(id, queues, cross_check)
  local known = job(PAYMENT, CHECK)
  redis.call('HDEL', PAYMENT, field(CHECK, 'next_due'), field(CHECK, 'next_priority'))
  if not known.token then
    redis.call('HDEL', PAYMENT, field(CHECK, 'state'), field(CHECK, 'due'), field(CHECK, 'attempts'),
      field(CHECK, 'priority'))
    enqueue(queues, id)
  end
  if cross_check then
    schedule(id, CHECK, queues, cross_check, CROSS_CHECK)
  end
end
