-- Schema 2: a lease costs the same however long the backlog is.
--
-- pgmq finds the heads of all lanes by reading the whole queue: 42 ms with 100,000 deliveries. The table `head` has them at
-- hand. Triggers keep it, so that it is right whatever process writes, an older linqbot during a rolling upgrade included.

-- head: the first delivery of each lane that has any.
CREATE TABLE head (
    lane text PRIMARY KEY,
    seq  bigint NOT NULL
);
CREATE INDEX head_by_seq ON head (seq);
ALTER TABLE head SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Two transactions may change a lane at once: one adds to its end while another removes its head. Whichever comes second
-- waits for the row of the other, and only then looks for the first delivery, in a new snapshot. search_path: a
-- statement of an operator, or of a backup tool, has another one.
CREATE FUNCTION note_heads() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    lanes text[];
BEGIN
    SELECT array_agg(DISTINCT lane) INTO lanes FROM changed;
    IF lanes IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM FROM head WHERE lane = ANY(lanes) ORDER BY lane FOR UPDATE;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO head (lane, seq)
            SELECT lane, min(seq) FROM changed WHERE NOT EXISTS (SELECT FROM head WHERE head.lane = changed.lane) GROUP BY lane
            ON CONFLICT (lane) DO UPDATE SET seq = least(head.seq, excluded.seq);
        RETURN NULL;
    END IF;
    DELETE FROM head WHERE lane = ANY(lanes) AND NOT EXISTS (SELECT FROM delivery WHERE lane = head.lane);
    UPDATE head SET seq = f.seq FROM unnest(lanes) AS l (lane)
        CROSS JOIN LATERAL (SELECT seq FROM delivery WHERE lane = l.lane ORDER BY seq LIMIT 1) f
        WHERE head.lane = l.lane AND head.seq <> f.seq;
    RETURN NULL;
END
$$;
CREATE TRIGGER heads_of_new AFTER INSERT ON delivery
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_heads();
CREATE TRIGGER heads_of_gone AFTER DELETE ON delivery
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_heads();
INSERT INTO head SELECT lane, min(seq) FROM delivery GROUP BY lane;

-- lease_heads: hide the oldest heads that are free, at most `most` of them, for `seconds`, and return their numbers.
-- Volatile, so that it sees what was committed while the statement that calls it has waited for a lock. Each head is looked up by
-- itself, in order, until there are enough: other plans read what waits behind the head of a long lane.
CREATE FUNCTION lease_heads(queue text, seconds integer, most integer) RETURNS SETOF bigint LANGUAGE plpgsql
    SET enable_mergejoin = off SET enable_hashjoin = off SET enable_sort = off SET enable_seqscan = off
    SET enable_material = off AS $$
DECLARE
    found bigint[];
BEGIN
    EXECUTE format(
        'SELECT array_agg(msg_id) FROM (
             SELECT q.msg_id FROM head JOIN pgmq.%I q ON q.msg_id = head.seq
             WHERE q.vt <= clock_timestamp() ORDER BY head.seq LIMIT $1 FOR UPDATE OF q SKIP LOCKED) AS free',
        pgmq.format_table_name(queue, 'q')
    ) INTO found USING most;
    IF found IS NOT NULL THEN
        PERFORM pgmq.set_vt(queue, found, clock_timestamp() + make_interval(secs => seconds));
    END IF;
    RETURN QUERY SELECT unnest(found);
END
$$;
