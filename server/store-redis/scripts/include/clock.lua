-- Milliseconds by this node's clock.
local function store_clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The caller's clock counts where one is given, which only tests do.
local function now(callers)
  return tonumber(callers) or store_clock()
end

-- The same in microseconds.
local function now_us(callers)
  if tonumber(callers) then
    return callers * 1000
  end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Lua itself writes a large number as 1.7e+12.
local function whole(number)
  return string.format('%.0f', number)
end
