-- A job is some fields of its payment, and while it is open an entry of an agenda, scored by the moment from which it
-- can be claimed. Checks have an agenda for each priority, from 0, the highest; deliveries have one.
local JOB = { 'standing', 'due', 'attempts', 'token', 'until', 'again', 'priority', 'again_priority' }
local SILENT, CROSS_CHECK = 1, 2

local function job(payment, kind)
  local fields = {}
  for i, field in ipairs(JOB) do
    fields[i] = kind .. '_' .. field
  end
  local kept = redis.call('HMGET', payment, unpack(fields))
  local found = {}
  for i, field in ipairs(JOB) do
    found[field] = kept[i]
  end
  found.priority = tonumber(found.priority or (kind == 'check' and SILENT or 0))
  found.again_priority = tonumber(found.again_priority or SILENT)
  return found
end

-- In the agenda of its priority and in no other; without a score in none.
local function place(agendas, id, priority, score)
  for i, agenda in ipairs(agendas) do
    if score and i == priority + 1 then
      redis.call('ZADD', agenda, score, id)
    else
      redis.call('ZREM', agenda, id)
    end
  end
end
