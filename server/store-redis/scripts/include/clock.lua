-- Microseconds by this node's clock, which is one clock for all instances.
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The same in milliseconds.
local function now()
  return math.floor(now_us() / 1000)
end

-- Lua itself writes a large number as 1.7e+12.
local function whole(number)
  return string.format('%.0f', number)
end
