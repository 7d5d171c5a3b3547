-- only_proactive is 1 if only sends that the bot begins are muted. since is when the mute began. The lane c:* is that of all chats.
ALTER TABLE mute ADD COLUMN only_proactive INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mute ADD COLUMN since REAL NOT NULL DEFAULT 0;
