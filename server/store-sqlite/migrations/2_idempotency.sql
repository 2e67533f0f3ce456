-- Schema version 2: merchants' requests that may come twice. The fingerprint is the request's SHA-256; status and body
-- are the answer's, once there is one. A body may hold a status token.

CREATE TABLE idempotency (
    account     TEXT NOT NULL,
    route       TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    arrival     INTEGER NOT NULL,
    begun_at    INTEGER NOT NULL,
    standing    TEXT NOT NULL CHECK (standing IN ('under_way', 'answered', 'unknown')),
    status      INTEGER,
    body        BLOB,
    PRIMARY KEY (account, route, key)
) STRICT;

CREATE INDEX idempotency_by_age ON idempotency (begun_at);
