-- NOTIFIED holds a number for each body's digest; for each number `<verdict> <copies> <received_at>`; which number is
-- the first that agrees and the first that awaits Khipu's answer; how many there are, and when the newest came (by the
-- store's clock, by which their bytes are erased). RAW holds the bytes and the signature of each number.
local FIRST = { [AGREES] = 'agrees', [STALE] = 'awaits', [UNKNOWN_PAYMENT] = 'awaits' }

-- Returns whether its bytes are new. A copy is counted; the first one that agrees makes it agree, by its own signature.
local function keep_notification(digest, body, signature, verdict, at)
  redis.call('HSET', NOTIFIED, 'newest', whole(now()))
  local number = redis.call('HGET', NOTIFIED, digest)
  local is_new = not number
  local known, copies, received_at = nil, 0, at
  if is_new then
    number = redis.call('HINCRBY', NOTIFIED, 'count', 1)
    redis.call('HSET', NOTIFIED, digest, number)
    record(table.concat({ ENTRY_NOTIFIED, at, number }, ' '))
  else
    known, copies, received_at = string.match(redis.call('HGET', NOTIFIED, number), '^(%S+) (%d+) (%S+)$')
    if known == AGREES or verdict ~= AGREES then
      verdict = known
    end
  end
  redis.call('HSET', NOTIFIED, number, verdict .. ' ' .. (copies + 1) .. ' ' .. received_at)
  -- The bytes of one that was erased stay so.
  if verdict ~= known and tonumber(number) > tonumber(redis.call('HGET', NOTIFIED, ERASED_UP_TO) or 0) then
    redis.call('HSET', RAW, 'body:' .. number, body, 'signature:' .. number, signature)
    local name = FIRST[verdict]
    local first = name and redis.call('HGET', NOTIFIED, name)
    if name and (not first or tonumber(number) < tonumber(first)) then
      redis.call('HSET', NOTIFIED, name, number)
    end
  end
  return is_new
end
