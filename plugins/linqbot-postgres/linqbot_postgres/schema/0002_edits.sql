-- delivery.early is true for an edit that waited when the head of its lane was first leased; see storage/edits.py.
ALTER TABLE delivery ADD COLUMN early boolean NOT NULL DEFAULT false;

-- delivery_edits, timer_edits: find the few edits that wait for their message, by its lane.
CREATE INDEX delivery_edits ON delivery (lane) WHERE type = 'message.edited';
CREATE INDEX timer_edits ON timer (lane) WHERE kind = 'edit';

-- lease_deliveries: as before. asks is true also if edits wait in the lane, or are kept for it: then the process notes the lane.
CREATE OR REPLACE FUNCTION lease_deliveries(seqs bigint[], process text) RETURNS SETOF leased LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM delivery WHERE type = 'message.edited') THEN
        UPDATE delivery e SET early = true FROM delivery d
            WHERE d.seq = ANY (seqs) AND d.delivery_count = 0 AND e.lane = d.lane AND e.type = 'message.edited'
                AND e.seq <> d.seq AND NOT e.early;
    END IF;
    RETURN QUERY UPDATE delivery d
        SET token = nextval('lease_token'), owner = process, delivery_count = d.delivery_count + 1,
            crashes = d.crashes + (d.token IS NOT NULL)::integer
        FROM body b WHERE d.seq = ANY (seqs) AND b.seq = d.seq
        RETURNING d.seq, d.token, d.id, d.lane, d.type, b.body, d.received_at, d.message_key, d.carrier, d.attempts, d.crashes,
            d.delivery_count - 1, d.replay, d.put_back, d.max_concurrent_suspects,
            starts_with(d.lane, 'c:') AND (EXISTS (SELECT FROM conversation c WHERE c.chat_id = substr(d.lane, 3))
                OR EXISTS (SELECT FROM mute m WHERE m.lane IN (d.lane, 'c:*'))
                OR EXISTS (SELECT FROM delivery e WHERE e.lane = d.lane AND e.type = 'message.edited')
                OR EXISTS (SELECT FROM timer t WHERE t.lane = d.lane AND t.kind = 'edit'));
END
$$;
