-- hold: the chats whose timers wait until a time; see storage/holds.py. The lane c:* is that of all chats. until is when the hold ends,
-- since when it began, and kept_until when its row may be deleted. person is, for a direct chat, the handle of the person in it, in lower
-- case. kinds are the kinds of timers that wait, with a comma before and behind each; NULL for all. notes are the values of the feature
-- that holds the chat, as JSON. It takes the place of the table mute.
CREATE TABLE hold (
    lane       TEXT PRIMARY KEY,
    until      REAL NOT NULL,
    kept_until REAL NOT NULL,
    since      REAL NOT NULL,
    person     TEXT,
    kinds      TEXT,
    notes      TEXT
) WITHOUT ROWID;

INSERT INTO hold (lane, until, kept_until, since, person, kinds, notes)
    SELECT lane, until, until + CASE WHEN handoff IS NULL THEN 0 ELSE 172800 END, since, person,
        CASE WHEN only_proactive THEN ',ask_in,ask_to,broadcast,post,post_to,repeat,send,' END,
        CASE WHEN handoff IS NULL AND reason IS NULL THEN NULL
             WHEN handoff IS NULL THEN json_object('reason', reason)
             WHEN reason IS NULL THEN json_object('handoff', json(handoff))
             ELSE json_object('handoff', json(handoff), 'reason', reason) END
    FROM mute;
DROP TABLE mute;

-- hold_by_person: finds the held chats of a person.
CREATE INDEX hold_by_person ON hold (person) WHERE person IS NOT NULL;
