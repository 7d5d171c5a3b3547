-- Schema 3: a batch of events is accepted, leased or ended by one call of a function.
--
-- Each statement costs a round trip, and each changed row costs an entry in every index that it has. Before, a batch took up
-- to eighteen statements. :queue stands for the name of the queue in pgmq.

-- A lease is found by its lane: the leased delivery is the head. So a lease changes no indexed column, and the free half
-- of each page takes the new version of the row.
DROP INDEX delivery_by_token;
DROP INDEX delivery_by_owner;
ALTER TABLE delivery SET (fillfactor = 50);

-- delivery_gathering: the heads of lanes that wait for more deliveries; a new one ends the wait.
CREATE INDEX delivery_gathering ON delivery (lane) WHERE waits = 'gathering';

-- note_heads: as before, but it looks for the next delivery of a lane once, and always by the index. A cached plan for a nearly
-- empty table would read the whole backlog.
CREATE OR REPLACE FUNCTION note_heads() RETURNS trigger LANGUAGE plpgsql
    SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    lanes text[];
    heads bigint[];
BEGIN
    SELECT array_agg(DISTINCT lane) INTO lanes FROM changed;
    IF lanes IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM FROM head WHERE lane = ANY (lanes) ORDER BY lane FOR UPDATE;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO head (lane, seq)
            SELECT lane, min(seq) FROM changed WHERE NOT EXISTS (SELECT FROM head WHERE head.lane = changed.lane) GROUP BY lane
            ON CONFLICT (lane) DO UPDATE SET seq = least(head.seq, excluded.seq);
        RETURN NULL;
    END IF;
    heads := ARRAY(SELECT (SELECT d.seq FROM delivery d WHERE d.lane = u.lane ORDER BY d.seq LIMIT 1)
                   FROM unnest(lanes) WITH ORDINALITY AS u (lane, n) ORDER BY n);
    UPDATE head SET seq = u.seq FROM unnest(lanes, heads) AS u (lane, seq) WHERE head.lane = u.lane AND head.seq <> u.seq;
    IF array_position(heads, NULL) IS NOT NULL THEN
        DELETE FROM head USING unnest(lanes, heads) AS u (lane, seq) WHERE head.lane = u.lane AND u.seq IS NULL;
    END IF;
    RETURN NULL;
END
$$;

-- lock_lanes: keep other transactions from adding to lanes until the end of this one. All lock in the same order.
CREATE FUNCTION lock_lanes(lanes text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(n)
        FROM (SELECT DISTINCT hashtextextended(':queue ' || lane, 0) AS n FROM unnest(lanes) AS lane ORDER BY n) AS locks;
END
$$;

-- accept_deliveries: store deliveries at the tails of their lanes, and notify with `news` on `channel`, if it is not NULL.
-- No two of the deliveries have an id or a message key in common.
-- room: how many fit into the inbox. counted: the lanes of which it is not known how many fit. lane_limit: how many may wait
-- in one of those.
-- seqs: the number of each delivery; 0 if it is known, -1 if its lane is full, -2 if the inbox is.
-- counts: how many deliveries waited in each of the counted lanes.
CREATE FUNCTION accept_deliveries(
    ids text[], lanes text[], types text[], message_keys text[], carriers text[], received_ats double precision[],
    bodies bytea[], stored_at double precision, room integer, counted text[], lane_limit integer, channel text, news text,
    OUT seqs bigint[], OUT counts integer[]
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
    total integer := cardinality(ids);
    fresh text[];
    chosen integer[];
    numbers bigint[];
    depths integer[];
    place integer;
BEGIN
    PERFORM lock_lanes(lanes);
    WITH stored AS (
        INSERT INTO seen (id, delivery_id, at)
            SELECT key, of, stored_at FROM (
                SELECT unnest(ids), unnest(ids) UNION ALL SELECT unnest(message_keys), unnest(ids)) AS u (key, of)
            WHERE key IS NOT NULL
        ON CONFLICT DO NOTHING RETURNING seen.id)
    SELECT array_agg(stored.id) INTO fresh FROM stored;
    counts := ARRAY(SELECT (SELECT count(*) FROM delivery d WHERE d.lane = u.lane)::integer
                    FROM unnest(counted) WITH ORDINALITY AS u (lane, n) ORDER BY n);
    IF cardinality(fresh) = total + cardinality(array_remove(message_keys, NULL)) AND total <= room
        AND lane_limit - total >= ALL (counts)
    THEN
        seqs := NULL;
    ELSE
        -- Some are known or do not fit: each is looked at.
        seqs := array_fill(0, ARRAY[total]);
        chosen := '{}';
        depths := counts;
        FOR i IN 1..total LOOP
            CONTINUE WHEN fresh IS NULL OR NOT (ids[i] = ANY (fresh) AND coalesce(message_keys[i] = ANY (fresh), true));
            place := array_position(counted, lanes[i]);
            IF cardinality(chosen) >= room THEN
                seqs[i] := -2;
            ELSIF depths[place] >= lane_limit THEN
                seqs[i] := -1;
            ELSE
                chosen := chosen || i;
                IF place IS NOT NULL THEN
                    depths[place] := depths[place] + 1;
                END IF;
            END IF;
        END LOOP;
        DELETE FROM seen USING generate_series(1, total) AS i
            WHERE NOT i = ANY (chosen) AND seen.id IN (ids[i], message_keys[i]) AND seen.id = ANY (fresh);
        IF chosen = '{}' THEN
            RETURN;
        END IF;
        ids := ARRAY(SELECT ids[i] FROM unnest(chosen) AS i);
        lanes := ARRAY(SELECT lanes[i] FROM unnest(chosen) AS i);
        types := ARRAY(SELECT types[i] FROM unnest(chosen) AS i);
        message_keys := ARRAY(SELECT message_keys[i] FROM unnest(chosen) AS i);
        carriers := ARRAY(SELECT carriers[i] FROM unnest(chosen) AS i);
        received_ats := ARRAY(SELECT received_ats[i] FROM unnest(chosen) AS i);
        bodies := ARRAY(SELECT bodies[i] FROM unnest(chosen) AS i);
    END IF;
    -- The numbers are given in the order of the array.
    SELECT array_agg(n ORDER BY n) INTO numbers FROM pgmq.send_batch(
        ':queue', array_fill('{}'::jsonb, ARRAY[cardinality(ids)]),
        ARRAY(SELECT jsonb_build_object('x-pgmq-group', lane)
              FROM unnest(lanes) WITH ORDINALITY AS u (lane, place) ORDER BY u.place)) AS n;
    INSERT INTO delivery (seq, id, lane, type, message_key, carrier, received_at)
        SELECT * FROM unnest(numbers, ids, lanes, types, message_keys, carriers, received_ats);
    INSERT INTO body (seq, body) SELECT * FROM unnest(numbers, bodies);
    -- Not the present time: it would look like the end of a wait that the last claim has missed.
    PERFORM pgmq.set_vt(':queue', d.seq, to_timestamp(0)) FROM delivery d
        WHERE d.waits = 'gathering' AND d.lane = ANY (lanes) AND d.token IS NULL;
    IF news IS NOT NULL THEN
        PERFORM pg_notify(channel, news);
    END IF;
    IF seqs IS NULL THEN
        seqs := numbers;
    ELSE
        FOR i IN 1..cardinality(chosen) LOOP
            seqs[chosen[i]] := numbers[i];
        END LOOP;
    END IF;
END
$$;

-- lease_heads: as before, with statements that are planned once.
DROP FUNCTION lease_heads(text, integer, integer);
CREATE FUNCTION lease_heads(seconds integer, most integer) RETURNS bigint[] LANGUAGE plpgsql
    SET enable_mergejoin = off SET enable_hashjoin = off SET enable_sort = off SET enable_seqscan = off
    SET enable_material = off AS $$
DECLARE
    found bigint[];
BEGIN
    SELECT array_agg(msg_id) INTO found FROM (
        SELECT q.msg_id FROM head JOIN pgmq.q_:queue q ON q.msg_id = head.seq
        WHERE q.vt <= clock_timestamp() ORDER BY head.seq LIMIT most FOR UPDATE OF q SKIP LOCKED) AS free;
    IF found IS NOT NULL THEN
        -- As pgmq.set_vt, which plans this statement at each call.
        UPDATE pgmq.q_:queue SET vt = clock_timestamp() + make_interval(secs => seconds) WHERE msg_id = ANY (found);
    END IF;
    RETURN found;
END
$$;

-- leased: a leased delivery. asks is true if its chat has conversations. With suspects, all columns but seq are NULL.
CREATE TYPE leased AS (
    seq bigint, token bigint, id text, lane text, type text, body bytea, received_at double precision, message_key text,
    carrier text, attempts integer, crashes integer, delivery_count integer, replay integer, put_back boolean,
    max_concurrent_suspects integer, asks boolean
);

-- lease_deliveries: give these deliveries, whose lanes are hidden, to a process.
CREATE FUNCTION lease_deliveries(seqs bigint[], process text) RETURNS SETOF leased LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY UPDATE delivery d
        SET token = nextval('lease_token'), owner = process, delivery_count = d.delivery_count + 1,
            crashes = d.crashes + (d.token IS NOT NULL)::integer
        FROM body b WHERE d.seq = ANY (seqs) AND b.seq = d.seq
        RETURNING d.seq, d.token, d.id, d.lane, d.type, b.body, d.received_at, d.message_key, d.carrier, d.attempts, d.crashes,
            d.delivery_count - 1, d.replay, d.put_back, d.max_concurrent_suspects,
            starts_with(d.lane, 'c:') AND EXISTS (SELECT FROM conversation c WHERE c.chat_id = substr(d.lane, 3));
END
$$;

-- lease: lease the oldest heads that are free, at most `most`. While there are suspects, hide the first `all_heads` heads instead,
-- and return their numbers: the process chooses. It must do that in the same transaction, so without `may_choose` no head is
-- hidden, and one row with the number 0 is returned.
CREATE FUNCTION lease(
    seconds integer, most integer, process text, may_choose boolean, all_heads integer, suspects_lock bigint
) RETURNS SETOF leased LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    one leased;
    hidden bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM delivery WHERE max_concurrent_suspects > 0) THEN
        RETURN QUERY SELECT * FROM lease_deliveries(lease_heads(seconds, most), process);
    ELSIF may_choose THEN
        -- All heads are hidden until the commit. Another process waits for that: it would find nothing otherwise, and sleep
        -- although heads are left.
        PERFORM pg_advisory_xact_lock(suspects_lock);
        FOR hidden IN SELECT unnest(lease_heads(seconds, all_heads)) LOOP
            one.seq := hidden;
            RETURN NEXT one;
        END LOOP;
    ELSE
        one.seq := 0;
        RETURN NEXT one;
    END IF;
END
$$;

-- lock_heads: keep other transactions from adding to and taking from lanes, in the order that the triggers use too.
CREATE FUNCTION lock_heads(lanes text[]) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM head WHERE lane = ANY (lanes) ORDER BY lane FOR UPDATE;
END
$$;

-- leases_of: the tokens of these lanes that are in force, and the numbers of their deliveries.
CREATE FUNCTION leases_of(lanes text[], tokens bigint[]) RETURNS TABLE (token bigint, seq bigint) LANGUAGE plpgsql STABLE
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT d.token, d.seq FROM head h JOIN delivery d ON d.seq = h.seq
        WHERE h.lane = ANY (lanes) AND d.token = ANY (tokens);
END
$$;

-- lock_leases: as leases_of, and lock the lanes and the deliveries.
CREATE FUNCTION lock_leases(lanes text[], tokens bigint[]) RETURNS TABLE (token bigint, seq bigint) LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM head WHERE lane = ANY (lanes) ORDER BY lane FOR UPDATE;
    RETURN QUERY SELECT d.token, d.seq FROM head h JOIN delivery d ON d.seq = h.seq
        WHERE h.lane = ANY (lanes) AND d.token = ANY (tokens) ORDER BY d.seq FOR UPDATE OF d;
END
$$;

-- leases_owned_by: lock the deliveries that a process has leased, and return their numbers. Leased deliveries are heads.
CREATE FUNCTION leases_owned_by(process text) RETURNS SETOF bigint LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT d.seq FROM head h JOIN delivery d ON d.seq = h.seq WHERE d.owner = process ORDER BY d.seq FOR UPDATE OF d;
END
$$;

-- leases_in_time: the leases of a process that have not run out.
CREATE FUNCTION leases_in_time(process text) RETURNS TABLE (token bigint, seq bigint) LANGUAGE plpgsql STABLE
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    present timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY SELECT d.token, d.seq FROM pgmq.q_:queue q JOIN delivery d ON d.seq = q.msg_id
        WHERE q.vt > present AND d.owner = process;
END
$$;

-- end_turns: remove the deliveries with these leases from the inbox, and return the tokens of those that were over.
-- turns: the turn of each, if journal entries of it may be on record, else NULL.
-- late_s: how long a delivery may stay in the inbox without a new time in `seen`.
CREATE FUNCTION end_turns(
    lanes text[], tokens bigint[], turns text[], ended double precision, late_s double precision
) RETURNS bigint[] LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    seqs bigint[];
    ours bigint[];
    late text[];
BEGIN
    PERFORM FROM head WHERE lane = ANY (lanes) ORDER BY lane FOR UPDATE;
    WITH gone AS (
        DELETE FROM delivery d USING head h WHERE h.lane = ANY (lanes) AND d.seq = h.seq AND d.token = ANY (tokens)
            RETURNING d.seq, d.token, CASE WHEN ended - d.received_at > late_s THEN ARRAY[d.id, d.message_key] END AS keys)
    SELECT array_agg(seq), array_agg(token), array_agg(keys) FILTER (WHERE keys IS NOT NULL) INTO seqs, ours, late FROM gone;
    IF seqs IS NULL THEN
        RETURN tokens;
    END IF;
    DELETE FROM body WHERE seq = ANY (seqs);
    -- As pgmq.delete, which plans this statement at each call.
    DELETE FROM pgmq.q_:queue WHERE msg_id = ANY (seqs);
    IF late IS NOT NULL THEN
        UPDATE seen SET at = ended WHERE id = ANY (late);
    END IF;
    turns := ARRAY(SELECT u.turn FROM unnest(turns, tokens) AS u (turn, token) WHERE u.token = ANY (ours) AND u.turn IS NOT NULL);
    IF turns <> '{}' THEN
        UPDATE journal SET ended_at = ended, digest = NULL, answer = CASE WHEN texts THEN answer END
            WHERE turn = ANY (turns) AND NOT EXISTS (SELECT FROM conversation WHERE id = journal.turn AND status <> 'timed_out');
    END IF;
    IF cardinality(ours) = cardinality(tokens) THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT unnest(tokens) EXCEPT SELECT unnest(ours));
END
$$;
