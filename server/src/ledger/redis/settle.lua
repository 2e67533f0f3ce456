-- KEYS 5 the agenda.
-- ARGV 6 id, 7 kind, 8 the lease's token, 9 how it ends, 10 due time, 11 attempts afterwards, 12 the attempt or nothing.
local agenda, id, kind, ending = KEYS[5], ARGV[6], ARGV[7], ARGV[9]

local known = state()
if not known then
  redis.call('ZREM', agenda, id)
  return 0
end

-- Settled again after an error: it is on the timeline already.
if ARGV[12] ~= '' and redis.call('LINDEX', TIMELINE, -1) ~= ARGV[12] then
  record(ARGV[12])
end

-- Out of the holder's hands.
local function put(standing, due, attempts)
  redis.call('HDEL', PAYMENT, kind .. '_due', kind .. '_token', kind .. '_until', kind .. '_again')
  redis.call('HSET', PAYMENT, kind .. '_standing', standing, kind .. '_attempts', attempts)
  if due then
    redis.call('HSET', PAYMENT, kind .. '_due', due)
    redis.call('ZADD', agenda, due, id)
  else
    redis.call('ZREM', agenda, id)
  end
end

local held = errand(PAYMENT, kind)
local holds = held.token == ARGV[8]
if holds then
  if held.again then
    local planned = ending == 'open' and tonumber(ARGV[10]) < tonumber(held.again)
    put('open', planned and ARGV[10] or held.again, '0')
  elseif ending == 'open' then
    put('open', ARGV[10], ARGV[11])
  elseif ending == 'done' and kind == 'check' then
    put('done', false, '0')
    redis.call('HDEL', PAYMENT, 'check_standing', 'check_attempts')
  else
    put(ending, false, ARGV[11])
  end
end
expire(known.version)
return holds and 1 or 0
