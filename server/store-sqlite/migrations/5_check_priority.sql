-- Schema version 5: checks have a priority (0 notified, 1 silent, 2 a confirmation's cross-check), and every payment that is
-- not confirmed has one.

ALTER TABLE errand ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;
ALTER TABLE errand ADD COLUMN again_priority INTEGER;

DROP INDEX errand_open;
CREATE INDEX errand_open ON errand (kind, priority, due_at) WHERE standing = 'open';

UPDATE errand SET priority = 2
WHERE kind = 'check' AND payment_id IN (SELECT id FROM payment WHERE status >= 1000);

-- Spread over an hour, so that old payments do not all come at once.
INSERT INTO errand (payment_id, kind, standing, due_at, attempts)
SELECT id, 'check', 'open', CAST(strftime('%s', 'now') AS INTEGER) * 1000 + abs(random() % 3600000), 0
FROM payment WHERE status < 1000
ON CONFLICT (payment_id, kind) DO UPDATE SET standing = 'open', due_at = excluded.due_at, attempts = 0
WHERE standing <> 'open';
