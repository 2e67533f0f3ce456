-- Milliseconds by this node's clock.
local function store_clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The caller's clock counts where one is given, which only tests do.
local function now(callers)
  return tonumber(callers) or store_clock()
end

-- Lua itself writes a large number as 1.7e+12.
local function whole(number)
  return string.format('%.0f', number)
end
