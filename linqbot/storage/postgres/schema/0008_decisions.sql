-- decision: what the bot's manners have decided, as in the SQLite schema.
CREATE TABLE decision (
    n       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key     text NOT NULL UNIQUE,
    at      double precision NOT NULL,
    verdict text NOT NULL,
    purpose text NOT NULL,
    reason  text NOT NULL,
    turn    text NOT NULL,
    person  text,
    line    text
);
CREATE INDEX decision_by_person ON decision (person, at);
CREATE INDEX decision_by_line ON decision (line, at);
CREATE INDEX decision_by_age ON decision (at);
