-- KEYS 5 the agenda of deliveries, 6 to 8 those of checks.
-- ARGV 6 id, 7 account, 8 source, 9 at; the claim: 10 version or nothing, 11 late, 12 reason; the notification: 13 digest
-- or nothing, 14 body, 15 signature, 16 verdict; from 17 on kind, due time and priority of each errand.
local id, account, source, at = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local claimed, digest, errands = tonumber(ARGV[10]), ARGV[13], 17
local deliveries, checks = { KEYS[5] }, { KEYS[6], KEYS[7], KEYS[8] }

local owner = redis.call('HGET', PAYMENT, 'account')
if owner and owner ~= account then
  return 'foreign'
end

local before = state()
local after = before or { version = PENDING, at = at, late = '0', reason = '' }
if claimed and claimed > after.version then
  after = { version = claimed, at = at, late = ARGV[11], reason = ARGV[12] }
end
local changed = not before or after.version ~= before.version

if not before then
  redis.call('HSET', PAYMENT, 'account', account, 'created_at', at)
end
if changed then
  move_on(after)
end
local is_copy = digest ~= '' and not keep(digest, ARGV[14], ARGV[15], ARGV[16], at)
local carries = digest ~= '' or #ARGV >= errands
if claimed and (changed or (carries and not is_copy)) then
  record(table.concat({ 'o', at, source, claimed, changed and 1 or 0 }, ' '))
end
local is_over, cross_check = after.version >= CONFIRMED, nil
for i = errands, #ARGV, 3 do
  local kind, due, priority = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if kind == 'delivery' and after.version == CONFIRMED then
    schedule(id, kind, deliveries, due)
  elseif kind == 'check' and not is_over then
    schedule(id, kind, checks, due, priority)
  elseif kind == 'check' and priority == CROSS_CHECK then
    cross_check = due
  end
end
if is_over and changed then
  end_checks(id, checks, cross_check)
end
if changed or carries then
  expire(after.version)
end
return outcome(before, after, changed)
