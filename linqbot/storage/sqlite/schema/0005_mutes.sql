-- mute: the chats in which the bot is silent; see storage/mutes.py. The lane c:* is that of all chats. until is when the mute ends, and
-- since when it began. person is, for a direct chat, the handle of the person in it, in lower case. handoff is the person of yours who
-- answers there by way of the bot, and how long, as JSON. only_proactive is 1 if only what the bot says first is muted. Timers of a
-- muted lane do not fire.
CREATE TABLE mute (
    lane           TEXT PRIMARY KEY,
    until          REAL NOT NULL,
    person         TEXT,
    reason         TEXT,
    handoff        TEXT,
    only_proactive INTEGER NOT NULL,
    since          REAL NOT NULL
) WITHOUT ROWID;
