-- decision: what the bot's manners have decided about sends; see storage/decisions.py. n keeps the order. key is that of the call.
-- person is a handle in lower case; NULL for a group.
CREATE TABLE decision (
    n       INTEGER PRIMARY KEY,
    key     TEXT NOT NULL UNIQUE,
    at      REAL NOT NULL,
    verdict TEXT NOT NULL,
    purpose TEXT NOT NULL,
    reason  TEXT NOT NULL,
    turn    TEXT NOT NULL,
    person  TEXT,
    line    TEXT
);

-- decision_by_person, decision_by_line: what was sent to a person, and from a line, of late.
CREATE INDEX decision_by_person ON decision (person, at);
CREATE INDEX decision_by_line ON decision (line, at);

-- decision_by_age: finds the rows to delete.
CREATE INDEX decision_by_age ON decision (at);
