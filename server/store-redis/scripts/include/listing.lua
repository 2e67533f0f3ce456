-- An account's listings in this partition: sorted sets of payments' ids. A script learns the account from its payment, so it
-- cannot name them as KEYS; they are in the payment's slot. An operation that includes this names PREFIX: what every key of
-- the partition begins with; LISTINGS_KEPT: how long a listing is kept after its last write, in ms; PAYMENT; ID.
local function listing(name, account)
  return table.concat({ PREFIX, name, account }, ':')
end

local function list(name, account, score)
  local key = listing(name, account)
  redis.call('ZADD', key, score, ID)
  redis.call('PEXPIRE', key, LISTINGS_KEPT)
end

-- Now, or later than the newest entry: no two entries are of one moment, and none is older than one that was read.
local function next_score(name, account)
  local newest = redis.call('ZRANGE', listing(name, account), 0, 0, 'REV', 'WITHSCORES')[2]
  return whole(math.max(now(), (newest or 0) + 1))
end

local function list_change(account)
  list(CHANGES, account, next_score(CHANGES, account))
end

-- Removes payments from all of an account's listings.
local function unlist(account, ids)
  for _, name in ipairs(LISTINGS) do
    redis.call('ZREM', listing(name, account), unpack(ids))
  end
end

-- The payment's entries leave when it expires; a few of others that have expired leave now.
local function list_expiry(account, at, kept)
  list(EXPIRIES, account, whole(at + kept))
  local expired = redis.call('ZRANGE', listing(EXPIRIES, account), '-inf', whole(at), 'BYSCORE',
    'LIMIT', 0, EXPIRED_PER_WRITE)
  if #expired > 0 then
    unlist(account, expired)
  end
end

-- Lists the delivery by its state, at the moment when it was scheduled.
local function list_delivery(state)
  local kept = redis.call('HMGET', PAYMENT, 'account', DELIVERY_SCHEDULED)
  local account, scheduled = kept[1], kept[2]
  if not scheduled then
    scheduled = next_score(DELIVERY_LISTINGS[OPEN], account)
    redis.call('HSET', PAYMENT, DELIVERY_SCHEDULED, scheduled)
  end
  for of_state, name in pairs(DELIVERY_LISTINGS) do
    if of_state == state then
      list(name, account, scheduled)
    else
      redis.call('ZREM', listing(name, account), ID)
    end
  end
end
