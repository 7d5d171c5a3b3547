-- A muted chat in which a person of yours answers by way of the bot: who it is, and how long, as JSON.
ALTER TABLE mute ADD COLUMN handoff TEXT;
