-- A muted chat in which a person of yours answers by way of the bot, as in the SQLite schema.
ALTER TABLE mute ADD COLUMN handoff text;
