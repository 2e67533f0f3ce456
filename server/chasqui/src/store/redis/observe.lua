-- KEYS 5 the agenda of deliveries, 6 to 8 those of checks.
-- ARGV 6 id, 7 account, 8 source, 9 at; the update: 10 version or nothing, 11 the version that it replaces or nothing,
-- 12 late, 13 reason; the notification: 14 digest or nothing, 15 body, 16 signature, 17 verdict; from 18 on kind, due
-- time and priority of each job.
local id, account, source, at = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local version, digest, jobs = tonumber(ARGV[10]), ARGV[14], 18
local deliveries, checks = { KEYS[5] }, { KEYS[6], KEYS[7], KEYS[8] }

local owner = redis.call('HGET', PAYMENT, 'account')
if owner and owner ~= account then
  return 'foreign'
end

local before = state()
local after = before or { version = CREATED, at = at, late = '0', reason = '' }
if version then
  local update = { version = version, replaces = tonumber(ARGV[11]), at = at, late = ARGV[12], reason = ARGV[13] }
  after = updated(after, update)
end
local changed = not before or after.version ~= before.version

if not before then
  redis.call('HSET', PAYMENT, 'account', account, 'created_at', at)
end
if changed then
  move_on(after)
end
local is_copy = digest ~= '' and not keep(digest, ARGV[15], ARGV[16], ARGV[17], at)
local carries = digest ~= '' or #ARGV >= jobs
if version and (changed or (digest ~= '' and not is_copy)) then
  record(table.concat({ 'o', at, source, version, changed and 1 or 0 }, ' '))
end
local is_over, cross_check = after.version >= CONFIRMED, nil
for i = jobs, #ARGV, 3 do
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
