-- A job is some fields of its payment, named `<kind>_<JOB[name]>`, and while it is open an entry of a queue, scored by the
-- moment from which it can be leased. Checks have a queue for each priority, from 0, the highest; deliveries have one.
local function field(kind, name)
  return kind .. '_' .. JOB[name]
end

-- The fields that are set, by name.
local function job(payment, kind)
  local names, fields = {}, {}
  for name in pairs(JOB) do
    names[#names + 1] = name
    fields[#fields + 1] = field(kind, name)
  end
  local kept, found = redis.call('HMGET', payment, unpack(fields)), {}
  for i, name in ipairs(names) do
    found[name] = kept[i]
  end
  found.priority = tonumber(found.priority or SILENT)
  found.next_priority = tonumber(found.next_priority or SILENT)
  return found
end

-- Puts a job into the queue of its priority, or into the only one, and into no other; without a score into none.
local function enqueue(queues, id, priority, score)
  for i, queue in ipairs(queues) do
    if score and i == math.min(priority + 1, #queues) then
      redis.call('ZADD', queue, score, id)
    else
      redis.call('ZREM', queue, id)
    end
  end
end
