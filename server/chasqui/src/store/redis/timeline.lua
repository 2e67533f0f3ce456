-- KEYS 1 a timeline, 2 the notifications. Verdict and copies are the notification's, shown as they are now.
local shown = {}
for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local at, number = string.match(entry, '^n (%S+) (%d+)$')
  local described = number and redis.call('HGET', KEYS[2], number)
  if described then
    entry = 'n ' .. at .. ' ' .. string.match(described, '^%S+ %d+')
  end
  -- What has expired a moment before the timeline is left out.
  if described or not number then
    shown[#shown + 1] = entry
  end
end
return shown
