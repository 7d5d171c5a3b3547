-- act: what operators have done, by whom and why, and the receipts of exports and of forget; see storage/acts.py. target is an id. about is
-- the id of a chat, or a digest of a handle. counts are the numbers of rows by table, as JSON; NULL if the row is no receipt.
CREATE TABLE act (
    n      INTEGER PRIMARY KEY,
    at     REAL NOT NULL,
    who    TEXT NOT NULL,
    what   TEXT NOT NULL,
    target TEXT NOT NULL,
    about  TEXT,
    reason TEXT,
    counts TEXT
);

-- act_by_about: finds the rows about a person.
CREATE INDEX act_by_about ON act (about) WHERE about IS NOT NULL;
