-- broadcast: purpose is why it is sent: requested or promotional. In recipient, at is for pending the time until which the row waits.
ALTER TABLE broadcast ADD COLUMN purpose text NOT NULL DEFAULT 'promotional';
