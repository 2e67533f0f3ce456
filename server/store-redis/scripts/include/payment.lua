-- Reads and writes one payment. An operation that includes this names
-- PAYMENT (hash): the payment and the fields of its jobs; NOTIFIED (hash): what is known of its notifications; RAW (hash):
-- their bytes and signatures; TIMELINE (list): what happened to it; RETENTION, RAW_RETENTION: how long a final payment is kept,
-- and bytes after their delivery, in ms; PUBLISH: the command that publishes a change, PUBLISH or SPUBLISH; CHANNEL: where it
-- is published; ID: the payment's; PREFIX, LISTINGS_KEPT: see listing.lua, which it includes before this.

-- nil: the payment is not known.
local function state()
  local kept = redis.call('HMGET', PAYMENT, 'status', 'status_at', 'late', 'reason')
  if not kept[1] then
    return nil
  end
  local version = tonumber(kept[1])
  return { version = OF_0_1[version] or version, at = kept[2], late = kept[3] or '0', reason = kept[4] or '' }
end

-- The text in which a state is published, as in `1000 1732243800123 0 `; false if there is none.
local function text(state)
  return state and table.concat({ state.version, state.at, state.late, state.reason }, ' ') or false
end

-- The reply: the state before and after, and for one that is final now what else leads to the payment.
local function outcome(before, after, changed)
  local names = { false, false }
  if changed and after.version >= CONFIRMED then
    names = redis.call('HMGET', PAYMENT, 'reference', 'transaction_id')
  end
  return { text(before), text(after), names[1], names[2] }
end

-- Stores a state that has changed, and publishes it.
local function change(after)
  redis.call('HSET', PAYMENT, 'status', after.version, 'status_at', after.at)
  redis.call('HDEL', PAYMENT, 'late', 'reason')
  if after.late == '1' then
    redis.call('HSET', PAYMENT, 'late', '1')
  end
  if after.reason ~= '' then
    redis.call('HSET', PAYMENT, 'reason', after.reason)
  end
  list_change(redis.call('HGET', PAYMENT, 'account'))
  redis.call(PUBLISH, CHANNEL, text(after))
end

local function record(entry)
  if redis.call('LLEN', TIMELINE) < TIMELINE_LIMIT then
    redis.call('RPUSH', TIMELINE, entry)
  end
end

-- A payment expires when its retention is over, counted from its last write; an open one's begins when Khipu is no
-- longer queried about it. The bytes of its notifications expire earlier once they have been delivered.
local function expire(version)
  local at, kept = now(), RETENTION
  local known = redis.call('HMGET', PAYMENT, 'expires_at', 'created_at', 'account')
  if version < CONFIRMED then
    local expiry = tonumber(known[1]) or tonumber(known[2]) + USUAL_TERM
    kept = math.max(kept, expiry + CHECKED_AFTER_EXPIRY + RETENTION - at)
  end
  for _, key in ipairs({ PAYMENT, NOTIFIED, TIMELINE }) do
    redis.call('PEXPIRE', key, whole(kept))
  end
  list_expiry(known[3], at, kept)
  local newest = redis.call('HGET', NOTIFIED, 'newest')
  if newest and redis.call('HGET', PAYMENT, DELIVERY_STATE) == DONE then
    kept = math.min(kept, math.max(1, newest + RAW_RETENTION - at))
  end
  redis.call('PEXPIRE', RAW, whole(kept))
end
