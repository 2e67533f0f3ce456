-- Begins a request that may come twice. Replies with what is known of it.
local REQUEST = KEYS[1] -- hash
local FINGERPRINT = ARGV[1]
local ARRIVAL = ARGV[2]
local AT = ARGV[3]
local TERM = ARGV[4] -- how long the key stands for the request, in ms
local IN_PROGRESS_LIMIT = tonumber(ARGV[5]) -- in ms
local KEPT = ARGV[6] -- how long the record is kept, in ms
-- include constants

local kept = redis.call('HMGET', REQUEST, 'fingerprint', 'arrival', 'begun_at', REQUEST_STATE, 'status', 'body')
local fingerprint, arrival, begun_at, state = kept[1], kept[2], tonumber(kept[3]), kept[4]
if not fingerprint or begun_at <= AT - TERM then
  redis.call('DEL', REQUEST)
  redis.call('HSET', REQUEST, 'fingerprint', FINGERPRINT, 'arrival', ARRIVAL, 'begun_at', AT,
    REQUEST_STATE, IN_PROGRESS)
  redis.call('PEXPIRE', REQUEST, KEPT)
  return { STARTED }
elseif fingerprint ~= FINGERPRINT then
  return { KEY_REUSED }
elseif state == ANSWERED then
  return { ANSWERED, kept[5], kept[6] }
elseif state == IN_PROGRESS and arrival == ARRIVAL then
  return { STARTED }
elseif state == IN_PROGRESS and AT - begun_at < IN_PROGRESS_LIMIT then
  return { IN_PROGRESS }
end
return { OUTCOME_UNKNOWN }
