-- What the scripts that write one payment share.
--
-- KEYS 1 the payment, 2 its notifications, 3 their bytes, 4 its timeline.
-- ARGV 1 retention, 2 raw retention, both in ms, 3 the most entries of a timeline, 4 the command and 5 the channel that
-- tell of a change.
local PAYMENT, NOTIFIED, RAW, TIMELINE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local RETENTION, RAW_RETENTION = tonumber(ARGV[1]), tonumber(ARGV[2])
local TIMELINE_LIMIT = tonumber(ARGV[3])

-- Versions. From the last of these on a status is final.
local PENDING, CONFIRMED, FINAL = 1, 6, 4

-- nil: the payment is not known.
local function state()
  local kept = redis.call('HMGET', PAYMENT, 'status', 'status_at', 'late', 'reason')
  if not kept[1] then
    return nil
  end
  return { version = tonumber(kept[1]), at = kept[2], late = kept[3] or '0', reason = kept[4] or '' }
end

-- How a state is told: `6 1732243800123 0 `. false: there is none.
local function text(state)
  return state and table.concat({ state.version, state.at, state.late, state.reason }, ' ') or false
end

-- What an outcome says: the state before and after, and for one that is final now what else leads to the payment.
local function outcome(before, after, changed)
  local names = { false, false }
  if changed and after.version >= FINAL then
    names = redis.call('HMGET', PAYMENT, 'reference', 'transaction_id')
  end
  return { text(before), text(after), names[1], names[2] }
end

-- Keeps a state that has changed, and tells whoever watches.
local function move_on(after)
  redis.call('HSET', PAYMENT, 'status', after.version, 'status_at', after.at)
  redis.call('HDEL', PAYMENT, 'late', 'reason')
  if after.late == '1' then
    redis.call('HSET', PAYMENT, 'late', '1')
  end
  if after.reason ~= '' then
    redis.call('HSET', PAYMENT, 'reason', after.reason)
  end
  redis.call(ARGV[4], ARGV[5], text(after))
end

local function record(entry)
  if redis.call('LLEN', TIMELINE) < TIMELINE_LIMIT then
    redis.call('RPUSH', TIMELINE, entry)
  end
end

-- A final payment goes after its retention, counted from its last write. The bytes of its notifications go earlier once
-- they have been delivered.
local function expire(version)
  if version < FINAL then
    return
  end
  for _, key in ipairs({ PAYMENT, NOTIFIED, TIMELINE }) do
    redis.call('PEXPIRE', key, RETENTION)
  end
  local kept = RETENTION
  local newest = redis.call('HGET', NOTIFIED, 'newest')
  if newest and redis.call('HGET', PAYMENT, 'delivery_standing') == 'done' then
    kept = math.min(kept, math.max(1, newest + RAW_RETENTION - store_clock()))
  end
  redis.call('PEXPIRE', RAW, whole(kept))
end
