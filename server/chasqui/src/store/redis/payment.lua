-- What the scripts that write one payment share.
--
-- KEYS 1 the payment, 2 its notifications, 3 their bytes, 4 its timeline.
-- ARGV 1 retention, 2 raw retention, both in ms, 3 the most entries of a timeline, 4 the command and 5 the channel that
-- tell of a change.
local PAYMENT, NOTIFIED, RAW, TIMELINE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local RETENTION, RAW_RETENTION = tonumber(ARGV[1]), tonumber(ARGV[2])
local TIMELINE_LIMIT = tonumber(ARGV[3])

-- Versions, 10 * round + kind: the first, and those that are final.
local CREATED, CONFIRMED, FINAL = 11, 1000, 1000
local RETURNED, VERIFYING = 2, 4

-- The numbers of version 0.1 as they are read today.
local OF_0_1 = { 11, 12, 15, 16, 17, 1000, 1001 }

-- An open payment is asked about until ten days after it expires: a day after its creation where no date is known. Its
-- retention begins then.
local DEFAULT_TERM, ASKED_FOR = 86400000, 864000000

-- nil: the payment is not known.
local function state()
  local kept = redis.call('HMGET', PAYMENT, 'status', 'status_at', 'late', 'reason')
  if not kept[1] then
    return nil
  end
  local version = tonumber(kept[1])
  return { version = OF_0_1[version] or version, at = kept[2], late = kept[3] or '0', reason = kept[4] or '' }
end

-- The rules by which a status changes (payment/status.rs): a final update by max(), any other only if the store holds the
-- version that it replaces.
local function updated(before, update)
  local counts = not update.replaces or update.replaces == before.version
  if not counts or update.version <= before.version then
    return before
  end
  -- The payer came back and Khipu says verifying too: the word stays, and so does its time.
  if before.version % 10 == RETURNED and update.version == before.version - RETURNED + VERIFYING then
    update.at = before.at
  end
  return update
end

-- How a state is told: `1000 1732243800123 0 `. false: there is none.
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

-- A payment goes when its retention is over, counted from its last write; an open one's begins when Khipu is no longer
-- asked about it. The bytes of its notifications go earlier once they have been delivered.
local function expire(version)
  local at, kept = store_clock(), RETENTION
  if version < FINAL then
    local dates = redis.call('HMGET', PAYMENT, 'expires_at', 'created_at')
    local expiry = tonumber(dates[1]) or tonumber(dates[2]) + DEFAULT_TERM
    kept = math.max(kept, expiry + ASKED_FOR + RETENTION - at)
  end
  for _, key in ipairs({ PAYMENT, NOTIFIED, TIMELINE }) do
    redis.call('PEXPIRE', key, whole(kept))
  end
  local newest = redis.call('HGET', NOTIFIED, 'newest')
  if newest and redis.call('HGET', PAYMENT, 'delivery_standing') == 'done' then
    kept = math.min(kept, math.max(1, newest + RAW_RETENTION - at))
  end
  redis.call('PEXPIRE', RAW, whole(kept))
end
