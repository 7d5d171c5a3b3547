-- progress and crashes_before_progress: how far the turn of a delivery has come, as in the SQLite schema.
ALTER TABLE delivery ADD COLUMN progress integer NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN crashes_before_progress integer NOT NULL DEFAULT 0;
