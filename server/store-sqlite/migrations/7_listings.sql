-- An account's payments are listed by their last change. Until now its time was not kept: that of the status takes its place.
ALTER TABLE payment ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;

UPDATE payment SET updated_at = status_at;

CREATE INDEX payment_by_change ON payment (account, updated_at, id);

-- An account's deliveries are listed by their state, in the order in which they were scheduled. That of an older one was when
-- its payment was confirmed, or later.
ALTER TABLE job ADD COLUMN account TEXT;
ALTER TABLE job ADD COLUMN scheduled_at INTEGER;

UPDATE job SET (account, scheduled_at) = (SELECT account, status_at FROM payment WHERE id = payment_id)
WHERE kind = 'delivery';

CREATE INDEX delivery_by_account ON job (account, standing, scheduled_at, payment_id) WHERE kind = 'delivery';

-- A timeline has visits as well: returned, watched with a transport, seen with a status.
ALTER TABLE record ADD COLUMN transport TEXT;

-- A notification whose bytes and signature were overwritten, because they held a payer's data.
ALTER TABLE notification ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;
