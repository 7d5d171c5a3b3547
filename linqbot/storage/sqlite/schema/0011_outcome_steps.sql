-- steps is JSON: the steps of the run, with names, times and tokens; see storage/outcomes.py.
ALTER TABLE outcome ADD COLUMN steps TEXT;
