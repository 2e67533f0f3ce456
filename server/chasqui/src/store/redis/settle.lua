-- KEYS from 5 on the agendas, by priority.
-- ARGV 6 id, 7 kind, 8 the lease's token, 9 how it ends, 10 due time, 11 attempts afterwards, 12 the attempt or nothing,
-- 13 the priority of what is put back.
local id, kind, ending = ARGV[6], ARGV[7], ARGV[9]
local agendas = { unpack(KEYS, 5) }

local known = state()
if not known then
  place(agendas, id)
  return 0
end

-- Settled again after an error: it is on the timeline already.
if ARGV[12] ~= '' and redis.call('LINDEX', TIMELINE, -1) ~= ARGV[12] then
  record(ARGV[12])
end

-- Out of the holder's hands.
local function put(standing, due, attempts, priority)
  redis.call('HDEL', PAYMENT, kind .. '_due', kind .. '_token', kind .. '_until', kind .. '_again', kind .. '_again_priority')
  redis.call('HSET', PAYMENT, kind .. '_standing', standing, kind .. '_attempts', attempts)
  if due then
    redis.call('HSET', PAYMENT, kind .. '_due', due)
  end
  if due and kind == 'check' then
    redis.call('HSET', PAYMENT, 'check_priority', priority)
  end
  place(agendas, id, kind == 'check' and priority or 0, due)
end

local held = job(PAYMENT, kind)
local holds = held.token == ARGV[8]
if holds then
  local due, priority = ARGV[10], tonumber(ARGV[13])
  local goes_on = ending == 'open'
  if held.again and held.again_priority == CROSS_CHECK then
    -- The payment is confirmed: nothing else is left to find out.
    put('open', held.again, '0', CROSS_CHECK)
  elseif held.again and goes_on then
    local is_earlier = tonumber(due) < tonumber(held.again)
    put('open', is_earlier and due or held.again, '0', math.min(priority, held.again_priority))
  elseif held.again then
    put('open', held.again, '0', held.again_priority)
  elseif goes_on then
    put('open', due, ARGV[11], priority)
  elseif ending == 'done' and kind == 'check' then
    put('done', nil, '0')
    redis.call('HDEL', PAYMENT, 'check_standing', 'check_attempts', 'check_priority')
  else
    put(ending, nil, ARGV[11])
  end
end
expire(known.version)
return holds and 1 or 0
