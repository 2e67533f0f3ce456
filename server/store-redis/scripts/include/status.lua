-- The rules by which a status changes, as in payment/status.rs: a final update by max(), any other only if the store
-- holds the version that it replaces. Both are tested with status_updates.txt of the store's suite.
local function updated(before, update)
  local counts = not update.replaces or update.replaces == before.version
  if not counts or update.version <= before.version then
    return before
  end
  -- The payer came back and Khipu also reports verifying: the status stays, and so does its time.
  if before.version % ROUND == RETURNED and update.version == before.version - RETURNED + VERIFYING then
    update.at = before.at
  end
  return update
end
