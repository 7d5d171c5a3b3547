-- delivery.early is 1 for an edit that waited when the head of its lane was first leased; see storage/edits.py.
ALTER TABLE delivery ADD COLUMN early INTEGER NOT NULL DEFAULT 0;

-- delivery_edits, timer_edits: find the few edits that wait for their message, by its lane.
CREATE INDEX delivery_edits ON delivery (lane) WHERE type = 'message.edited';
CREATE INDEX timer_edits ON timer (lane) WHERE kind = 'edit';
