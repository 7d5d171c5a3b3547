-- steps is JSON: the steps of the run, as in the SQLite schema.
ALTER TABLE outcome ADD COLUMN steps text;
