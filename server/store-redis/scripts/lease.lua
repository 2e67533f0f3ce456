-- Leases jobs. Replies for each payment with the attempts so far and the priority, or with nothing where another holder
-- was quicker. Doing it again leases what it leased before.
local KIND = ARGV[1]
local LEASE = ARGV[2] -- how long, in ms
local COUNT = tonumber(ARGV[3]) -- how many of the keys are queues
local QUEUES = { unpack(KEYS, 1, COUNT) } -- sorted sets: the queues of the kind, by priority
local PAYMENTS = { unpack(KEYS, COUNT + 1) } -- hashes: the payments whose jobs are wanted
local WANTED = { unpack(ARGV, 4) } -- id and lease token of each payment
-- include constants
-- include clock
-- include job

local at = now()
local ends = whole(at + LEASE)
local leased = {}
for i, payment in ipairs(PAYMENTS) do
  local id, token = WANTED[2 * i - 1], WANTED[2 * i]
  local found = job(payment, KIND)
  leased[i] = false
  if found.state ~= OPEN then
    enqueue(QUEUES, id)
  elseif found.token == token or tonumber(found.due) <= at and tonumber(found.lease_end or at) <= at then
    redis.call('HSET', payment, field(KIND, 'token'), token, field(KIND, 'lease_end'), ends)
    enqueue(QUEUES, id, found.priority, ends)
    leased[i] = { found.attempts, found.priority }
  end
end
return leased
