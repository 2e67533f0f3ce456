-- An errand is six fields of its payment, and while it is open an entry of its agenda, scored by the moment from which
-- it can be claimed.
local ERRAND = { 'standing', 'due', 'attempts', 'token', 'until', 'again' }

local function errand(payment, kind)
  local fields = {}
  for i, field in ipairs(ERRAND) do
    fields[i] = kind .. '_' .. field
  end
  local kept = redis.call('HMGET', payment, unpack(fields))
  local found = {}
  for i, field in ipairs(ERRAND) do
    found[field] = kept[i]
  end
  return found
end
