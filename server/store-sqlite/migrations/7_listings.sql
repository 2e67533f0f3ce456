-- An account's payments are listed by their last change. Until now its time was not kept: that of the status takes its place.
ALTER TABLE payment ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;

UPDATE payment SET updated_at = status_at;

CREATE INDEX payment_by_change ON payment (account, updated_at, id);
