-- Reads a timeline. A notification is shown with its verdict and copies as they are now.
local TIMELINE = KEYS[1] -- list: what happened to a payment
local NOTIFIED = KEYS[2] -- hash: what is known of its notifications
-- include constants

local shown = {}
for _, entry in ipairs(redis.call('LRANGE', TIMELINE, 0, -1)) do
  local at, number = string.match(entry, '^' .. ENTRY_NOTIFIED .. ' (%S+) (%d+)$')
  local described = number and redis.call('HGET', NOTIFIED, number)
  if described then
    entry = table.concat({ ENTRY_NOTIFIED, at, string.match(described, '^%S+ %d+') }, ' ')
  end
  -- What has expired a moment before the timeline is left out.
  if described or not number then
    shown[#shown + 1] = entry
  end
end
return shown
