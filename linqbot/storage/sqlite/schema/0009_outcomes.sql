-- outcome: what became of each delivery, with ids only; see storage/outcomes.py. A run after which the turn runs again has a row
-- too, unless the turn has many. n is the order in which turns ended, so the oldest rows are the first.
-- turn has the journal entries of its calls, if that is another delivery: the one that has asked the question which it answers.
-- runs is the number of leases of the delivery, attempts that of its failed runs. tried is JSON: the handlers that did not
-- take the event, each with its filter that did not fit.
CREATE TABLE outcome (
    n           INTEGER PRIMARY KEY,
    delivery    TEXT NOT NULL,
    lane        TEXT NOT NULL,
    type        TEXT NOT NULL,
    message_id  TEXT,
    trace_id    TEXT,
    received_at REAL NOT NULL,
    ended_at    REAL NOT NULL,
    outcome     TEXT NOT NULL,
    handler     TEXT,
    why         TEXT,
    turn        TEXT,
    replay      INTEGER NOT NULL,
    runs        INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    ms          REAL,
    tried       TEXT,
    calls       TEXT
);

-- outcome_by_lane: finds the rows of a chat, and those of a person to be forgotten.
CREATE INDEX outcome_by_lane ON outcome (lane, n);
