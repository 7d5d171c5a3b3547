-- mute: the chats in which the bot is silent; see storage/mutes.py. until is when that ends. person is, for a direct chat, the
-- handle of the person in it, in lower case. Timers of a muted lane do not fire.
CREATE TABLE mute (
    lane   TEXT PRIMARY KEY,
    until  REAL NOT NULL,
    person TEXT,
    reason TEXT
) WITHOUT ROWID;
