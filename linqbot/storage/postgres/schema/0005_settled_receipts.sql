-- process.settled: the types of receipts that nothing in the process wants as events. A receipt that all processes settle
-- is no delivery. A process of an earlier release settles none.
ALTER TABLE process ADD COLUMN settled text[] NOT NULL DEFAULT '{}';
