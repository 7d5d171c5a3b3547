-- consent: who agreed to promotional messages, or opted out, when and how; see storage/consents.py. person is a handle in lower case.
-- Rows are never changed.
CREATE TABLE consent (
    n      INTEGER PRIMARY KEY,
    key    TEXT NOT NULL UNIQUE,
    person TEXT NOT NULL,
    at     REAL NOT NULL,
    what   TEXT NOT NULL,
    how    TEXT NOT NULL
);

-- consent_by_person: the last row of a person is read before each message to the person.
CREATE INDEX consent_by_person ON consent (person, at);
