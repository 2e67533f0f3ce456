-- KEYS 5 to 7 the agendas of checks.
-- ARGV 6 account, 7 created_at; the state: 8 version, 9 at, 10 late, 11 reason; the terms: 12 amount or nothing, 13 currency,
-- 14 transaction id or nothing; 15 id; 16 when its first check is due; from 17 on the other fields that are set, each with
-- its value.
local account, created_at = ARGV[6], ARGV[7]

local owner = redis.call('HMGET', PAYMENT, 'account', 'amount')
if owner[1] and owner[1] ~= account then
  if owner[2] then
    return 'foreign'
  end
  -- Another account's notification about a payment that was unknown here. It owns nothing: Khipu's answer says whose the
  -- payment is, and what the other account sent about it goes.
  redis.call('DEL', PAYMENT, NOTIFIED, RAW, TIMELINE)
end

local before = state()
local after = { version = tonumber(ARGV[8]), at = ARGV[9], late = ARGV[10], reason = ARGV[11] }
if before and before.version >= after.version then
  after = before
end
local changed = not before or after.version ~= before.version

-- What is known stays. Only of two dates of creation the earlier does: a payment that began with a notification was
-- created before that.
redis.call('HSETNX', PAYMENT, 'account', account)
local known = redis.call('HGET', PAYMENT, 'created_at')
if not known or tonumber(created_at) < tonumber(known) then
  redis.call('HSET', PAYMENT, 'created_at', created_at)
end
if ARGV[12] ~= '' and redis.call('HSETNX', PAYMENT, 'amount', ARGV[12]) == 1 then
  redis.call('HSET', PAYMENT, 'currency', ARGV[13])
  if ARGV[14] ~= '' then
    redis.call('HSET', PAYMENT, 'transaction_id', ARGV[14])
  end
end
for i = 17, #ARGV, 2 do
  redis.call('HSETNX', PAYMENT, ARGV[i], ARGV[i + 1])
end
if changed then
  move_on(after)
end
-- Once a payment, however often it is created.
if redis.call('HSETNX', PAYMENT, 'created', '1') == 1 then
  record('c ' .. created_at)
  if after.version < CONFIRMED then
    schedule(ARGV[15], 'check', { KEYS[5], KEYS[6], KEYS[7] }, tonumber(ARGV[16]), SILENT)
  end
end
expire(after.version)
return outcome(before, after, changed)
