-- Microseconds by the caller's clock where one is given, which only tests do, else by this node's.
local function now_us(callers)
  local time = redis.call('TIME')
  return tonumber(callers) and callers * 1000 or time[1] * 1000000 + time[2]
end

-- The same in milliseconds.
local function now(callers)
  return math.floor(now_us(callers) / 1000)
end

-- Lua itself writes a large number as 1.7e+12.
local function whole(number)
  return string.format('%.0f', number)
end
