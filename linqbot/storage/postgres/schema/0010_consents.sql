-- consent: who agreed to promotional messages, or opted out, when and how; see storage/consents.py. person is a handle in lower case.
-- Rows are never changed.
CREATE TABLE consent (
    n      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key    text NOT NULL UNIQUE,
    person text NOT NULL,
    at     double precision NOT NULL,
    what   text NOT NULL,
    how    text NOT NULL
);

-- consent_by_person: the last row of a person is read before each message to the person.
CREATE INDEX consent_by_person ON consent (person, at);
