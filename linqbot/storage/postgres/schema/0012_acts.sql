-- act: what operators have done, as in the SQLite schema.
CREATE TABLE act (
    n      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     double precision NOT NULL,
    who    text NOT NULL,
    what   text NOT NULL,
    target text NOT NULL,
    about  text,
    reason text,
    counts text
);

-- act_by_about: finds the rows about a person.
CREATE INDEX act_by_about ON act (about) WHERE about IS NOT NULL;
