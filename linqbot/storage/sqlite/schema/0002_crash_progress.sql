-- progress is how far the turn of the delivery had come when it last ran after a crash: see Inbox.note_progress.
-- crashes_before_progress is the value of crashes when the turn had just come that far.
ALTER TABLE delivery ADD COLUMN progress INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN crashes_before_progress INTEGER NOT NULL DEFAULT 0;
