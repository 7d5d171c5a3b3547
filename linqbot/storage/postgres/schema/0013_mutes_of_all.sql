-- As in the SQLite schema.
ALTER TABLE mute ADD COLUMN only_proactive boolean NOT NULL DEFAULT false;
ALTER TABLE mute ADD COLUMN since double precision NOT NULL DEFAULT 0;

-- lease_deliveries: give these deliveries, whose lanes are hidden, to a process. asks is true also if the chat, or every chat, is muted: then the
-- process reads the conversations and the mute of the chat again.
CREATE OR REPLACE FUNCTION lease_deliveries(seqs bigint[], process text) RETURNS SETOF leased LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY UPDATE delivery d
        SET token = nextval('lease_token'), owner = process, delivery_count = d.delivery_count + 1,
            crashes = d.crashes + (d.token IS NOT NULL)::integer
        FROM body b WHERE d.seq = ANY (seqs) AND b.seq = d.seq
        RETURNING d.seq, d.token, d.id, d.lane, d.type, b.body, d.received_at, d.message_key, d.carrier, d.attempts, d.crashes,
            d.delivery_count - 1, d.replay, d.put_back, d.max_concurrent_suspects,
            starts_with(d.lane, 'c:') AND (EXISTS (SELECT FROM conversation c WHERE c.chat_id = substr(d.lane, 3))
                OR EXISTS (SELECT FROM mute m WHERE m.lane IN (d.lane, 'c:*')));
END
$$;
