-- Schema 3.

-- broadcast: one message to many people; see storage/broadcasts.py. Its rows are kept, so that a name is not used twice.
-- next_at is the time before which its line sends to no other person. ended_at is NULL until each recipient has an outcome.
-- content is the messages as JSON, deleted when the broadcast ends. padding is in front of it: see body.
CREATE TABLE broadcast (
    n              INTEGER PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    line           TEXT NOT NULL,
    status         TEXT NOT NULL,
    per_minute     REAL NOT NULL,
    created_at     REAL NOT NULL,
    next_at        REAL NOT NULL DEFAULT 0,
    ended_at       REAL,
    off_the_record INTEGER NOT NULL,
    padding        BLOB,
    content        BLOB NOT NULL
);

-- recipient: the people of a broadcast (`broadcast` is its n), in order. at is when the outcome was set.
CREATE TABLE recipient (
    broadcast INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    handle    TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    reason    TEXT,
    at        REAL,
    PRIMARY KEY (broadcast, n)
) WITHOUT ROWID;

-- recipient_by_outcome: finds the first that is pending, and counts the few that are under way.
CREATE INDEX recipient_by_outcome ON recipient (broadcast, outcome, n);
