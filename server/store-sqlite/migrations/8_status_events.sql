-- The changes of status that are yet to be sent to an account's events_url, each as the state that it led to.
CREATE TABLE status_event (
    payment_id TEXT NOT NULL,
    status     INTEGER NOT NULL,
    status_at  INTEGER NOT NULL,
    late       INTEGER NOT NULL,
    reason     TEXT,
    PRIMARY KEY (payment_id, status)
) STRICT, WITHOUT ROWID;
