-- Schema version 1. Times are unix milliseconds; a status is its version (1 pending, 2 verifying, 3 expired,
-- 4 cancelled, 5 rejected, 6 confirmed, 7 reversed); an amount is text, because it is a decimal.

CREATE TABLE intent (
    reference  TEXT NOT NULL PRIMARY KEY,
    account    TEXT NOT NULL,
    return_url TEXT,
    cancel_url TEXT,
    notify_url TEXT,
    created_at INTEGER NOT NULL,
    payment_id TEXT
) STRICT;

CREATE TABLE payment (
    id             TEXT NOT NULL PRIMARY KEY,
    account        TEXT NOT NULL,
    amount         TEXT,
    currency       TEXT,
    transaction_id TEXT,
    return_url     TEXT,
    cancel_url     TEXT,
    notify_url     TEXT,
    reference      TEXT,
    payment_url    TEXT,
    expires_at     INTEGER,
    created_at     INTEGER NOT NULL,
    status         INTEGER NOT NULL,
    status_at      INTEGER NOT NULL,
    late           INTEGER NOT NULL,
    reason         TEXT
) STRICT;

-- What Khipu sent, byte for byte. The digest is the body's SHA-256.
CREATE TABLE notification (
    id          INTEGER PRIMARY KEY,
    payment_id  TEXT NOT NULL REFERENCES payment (id),
    digest      BLOB NOT NULL,
    body        BLOB NOT NULL,
    signature   TEXT NOT NULL,
    verdict     TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    copies      INTEGER NOT NULL,
    UNIQUE (payment_id, digest)
) STRICT;

-- The timeline. event: created, observed, notified or attempted; each uses the columns of its line.
CREATE TABLE record (
    id              INTEGER PRIMARY KEY,
    payment_id      TEXT NOT NULL REFERENCES payment (id),
    at              INTEGER NOT NULL,
    event           TEXT NOT NULL,
    source          TEXT, status INTEGER, accepted INTEGER,
    notification_id INTEGER REFERENCES notification (id),
    kind            TEXT, number INTEGER, result TEXT, duration_ms INTEGER
) STRICT;

CREATE INDEX record_by_payment ON record (payment_id, at);

-- The agenda. A delivery's row stays for good, so that there is never a second one.
CREATE TABLE errand (
    payment_id   TEXT NOT NULL REFERENCES payment (id),
    kind         TEXT NOT NULL,
    standing     TEXT NOT NULL CHECK (standing IN ('open', 'done', 'dead')),
    due_at       INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    lease_token  INTEGER,
    leased_until INTEGER,
    -- Somebody asked for another check while this one was in somebody's hands.
    again_at     INTEGER,
    PRIMARY KEY (payment_id, kind)
) STRICT, WITHOUT ROWID;

CREATE INDEX errand_open ON errand (kind, due_at) WHERE standing = 'open';
CREATE INDEX errand_leased ON errand (kind, leased_until) WHERE lease_token IS NOT NULL;

-- Written to find out whether writing works.
CREATE TABLE canary (count INTEGER NOT NULL) STRICT;

INSERT INTO canary (count) VALUES (0);
