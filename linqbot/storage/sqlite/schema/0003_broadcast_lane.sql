-- lane is the lane of the turn that has begun the broadcast, until it ends: its report waits there. Empty if there is none.
ALTER TABLE broadcast ADD COLUMN lane TEXT NOT NULL DEFAULT '';
