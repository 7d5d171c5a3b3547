-- named: in which lanes and turns a person or a chat is named; see storage/people.py. who is a digest of a handle, or `chat:` and the id of
-- a chat. place is a lane, or `@` and the id of a turn. at is when a row there last needed it, to the day.
-- Rows whose who is empty say what is not yet in it: of the table in place, the rows with numbers up to that in at.
CREATE TABLE named (
    who   text COLLATE "C" NOT NULL,
    place text COLLATE "C" NOT NULL,
    at    double precision NOT NULL,
    PRIMARY KEY (who, place)
);

-- named_by_place: finds who is named in a direct chat that is forgotten.
CREATE INDEX named_by_place ON named (place);

INSERT INTO named (who, place, at) SELECT '', 'delivery', seq FROM delivery ORDER BY seq DESC LIMIT 1;
INSERT INTO named (who, place, at) SELECT '', 'done', n FROM done ORDER BY n DESC LIMIT 1;
INSERT INTO named (who, place, at) SELECT '', 'dead', n FROM dead ORDER BY n DESC LIMIT 1;
INSERT INTO named (who, place, at) SELECT '', 'journal', n FROM journal ORDER BY n DESC LIMIT 1;
INSERT INTO named (who, place, at) SELECT '', 'timer', n FROM timer ORDER BY n DESC LIMIT 1;
INSERT INTO named (who, place, at) SELECT '', 'conversation', n FROM conversation ORDER BY n DESC LIMIT 1;
INSERT INTO named (who, place, at) SELECT '', 'outcome', n FROM outcome ORDER BY n DESC LIMIT 1;

-- done_by_lane, dead_by_lane, mute_by_person, state_by_person, recipient_by_handle, broadcast_by_lane: find what is
-- kept of a person. done has rows only while history is on.
CREATE INDEX done_by_lane ON done (lane);
CREATE INDEX dead_by_lane ON dead (lane);
CREATE INDEX mute_by_person ON mute (person) WHERE person IS NOT NULL;
CREATE INDEX state_by_person ON state (lower(person)) WHERE person IS NOT NULL;
CREATE INDEX recipient_by_handle ON recipient (lower(handle));
CREATE INDEX broadcast_by_lane ON broadcast (lane) WHERE lane <> '';

-- dead_by_age: finds the oldest dead letters, to be purged.
CREATE INDEX dead_by_age ON dead (dead_lettered_at);
