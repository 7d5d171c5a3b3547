-- outcome: what became of each delivery, as in the SQLite schema.
CREATE TABLE outcome (
    n           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery    text NOT NULL,
    lane        text COLLATE "C" NOT NULL,
    type        text NOT NULL,
    message_id  text,
    trace_id    text,
    received_at double precision NOT NULL,
    ended_at    double precision NOT NULL,
    outcome     text NOT NULL,
    handler     text,
    why         text,
    turn        text,
    replay      integer NOT NULL,
    runs        integer NOT NULL,
    attempts    integer NOT NULL,
    ms          double precision,
    tried       text,
    calls       text
);

-- outcome_by_lane: finds the rows of a chat, and those of a person to be forgotten.
CREATE INDEX outcome_by_lane ON outcome (lane, n);
