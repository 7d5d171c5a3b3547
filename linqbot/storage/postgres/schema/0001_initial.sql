-- Schema 1, in the PostgreSQL schema of one bot. meta.schema is the number of the newest file that was applied. Times are
-- Unix seconds (double precision). JSON and bodies are bytea: the bytes received.
--
-- The lanes are a queue of pgmq that has the name of the PostgreSQL schema: one message for each delivery of the inbox,
-- with the lane in its header x-pgmq-group and nothing else. Its msg_id is the order of acceptance, its vt the time until
-- which its lane is leased or waits. Both are on the clock of the database. :queue stands for the name of the queue.
--
-- A batch of events is accepted, leased or ended by one call of a function, because each statement costs a round trip.

-- meta: facts about the storage itself.
-- install (128 random bits) is part of every idempotency key. schema is the number of this file, or of a later one.
-- first_active_at is when the first webhook was accepted. active_at is when a webhook was last accepted, at most a minute
-- out of date.
CREATE TABLE meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- process: the processes that serve. Each holds the session lock `lock` while it is connected. If the lock is free, the
-- process has died, or is about to connect again.
-- settled: the types of receipts that nothing in the process wants as events. A receipt that all processes settle is no delivery.
CREATE TABLE process (
    id         text PRIMARY KEY,
    lock       bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    settled    text[] NOT NULL DEFAULT '{}'
);

-- lease_token: identifies each lease. A finish with an older token finds no row.
CREATE SEQUENCE lease_token;

-- delivery: the inbox, which holds what was accepted and is not finished.
-- seq is the msg_id of its message in pgmq; put_in_order changes it within a lane.
-- message_key, carrier, replay, put_back, delivery_count, attempts, crashes: see storage/inbox.py.
-- crashed_with_others and max_concurrent_suspects find the poison message among the deliveries that were leased in a
-- crash, as in the SQLite schema; 0 means that it is not a suspect. Both are reset when a run ends.
-- token and owner (a process) are set while the delivery is leased, and stay when the lease runs out until the lane is
-- leased again: a late finish is valid until then.
-- waits shows operators the reason for not_before: retrying, deferred or gathering. error is the message that goes with it.
-- A lease is found by its lane: the leased delivery is the head. So a lease changes no indexed column, and the free half
-- of each page takes the new version of the row.
CREATE TABLE delivery (
    seq                     bigint PRIMARY KEY,
    id                      text NOT NULL,
    lane                    text NOT NULL,
    type                    text NOT NULL,
    message_key             text,
    carrier                 text,
    received_at             double precision NOT NULL,
    replay                  integer NOT NULL DEFAULT 0,
    put_back                boolean NOT NULL DEFAULT false,
    delivery_count          integer NOT NULL DEFAULT 0,
    attempts                integer NOT NULL DEFAULT 0,
    crashes                 integer NOT NULL DEFAULT 0,
    crashed_with_others     integer NOT NULL DEFAULT 0,
    max_concurrent_suspects integer NOT NULL DEFAULT 0,
    progress                integer NOT NULL DEFAULT 0,
    crashes_before_progress integer NOT NULL DEFAULT 0,
    token                   bigint,
    owner                   text,
    waits                   text,
    not_before              double precision NOT NULL DEFAULT 0,
    error                   text
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX delivery_by_id ON delivery (id);
CREATE INDEX delivery_by_lane ON delivery (lane, seq);
CREATE INDEX delivery_suspects ON delivery (seq) WHERE max_concurrent_suspects > 0;
-- delivery_gathering: the heads of lanes that wait for more deliveries; a new one ends the wait.
CREATE INDEX delivery_gathering ON delivery (lane) WHERE waits = 'gathering';

-- head: the first delivery of each lane that has any, kept by the triggers below. pgmq itself would find the heads by reading
-- the whole queue: 42 ms with 100,000 deliveries.
CREATE TABLE head (
    lane text PRIMARY KEY,
    seq  bigint NOT NULL
);
CREATE INDEX head_by_seq ON head (seq);

-- body: the bytes of each delivery, apart from the rows that take and retry write again.
CREATE TABLE body (
    seq  bigint PRIMARY KEY,
    body bytea NOT NULL
);

-- seen: every known delivery id and message key. A second copy of a delivery is refused by it.
-- delivery_id is the delivery that it belongs to: it is in the inbox while `delivery` has that row.
-- at is when the delivery was stored, or when it left the inbox, if it stayed for more than a minute. The id is kept for a
-- day from that time, and while the delivery is in the inbox.
CREATE TABLE seen (
    id          text PRIMARY KEY,
    delivery_id text NOT NULL,
    at          double precision NOT NULL
);
CREATE INDEX seen_by_age ON seen (at);

-- dead: dead letters, with the reason. Their bodies and journal entries stay until an operator retries or purges them.
CREATE TABLE dead (
    n                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id               text NOT NULL UNIQUE,
    lane             text NOT NULL,
    type             text NOT NULL,
    message_key      text,
    carrier          text,
    received_at      double precision NOT NULL,
    error            text NOT NULL,
    handler          text,
    replay           integer NOT NULL,
    delivery_count   integer NOT NULL,
    attempts         integer NOT NULL,
    crashes          integer NOT NULL,
    dead_lettered_at double precision NOT NULL,
    body             bytea NOT NULL
);

-- done: acked deliveries, kept for replays while history is on. With history off it stays empty.
CREATE TABLE done (
    n           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          text NOT NULL UNIQUE,
    lane        text NOT NULL,
    type        text NOT NULL,
    message_key text,
    carrier     text,
    received_at double precision NOT NULL,
    replay      integer NOT NULL,
    acked_at    double precision NOT NULL,
    body        bytea NOT NULL
);
CREATE INDEX done_by_age ON done (acked_at);

-- journal: one row (a journal entry) for each API call of a turn; see storage/journal.py.
-- texts is true while call and answer hold people's words.
-- ended_at is NULL until the turn is acked. The rows of a turn that is never acked (dead-lettered, deferred) are kept.
CREATE TABLE journal (
    n              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    turn           text NOT NULL,
    replay         integer NOT NULL,
    slot           text NOT NULL,
    key            text NOT NULL,
    safety         text NOT NULL,
    call           bytea NOT NULL,
    status         text NOT NULL,
    first_at       double precision NOT NULL,
    answer         bytea,
    message_id     text,
    chat_id        text,
    delivery       text,
    digest         text,
    origin         bytea,
    off_the_record boolean NOT NULL,
    texts          boolean NOT NULL,
    ended_at       double precision,
    UNIQUE (turn, replay, slot)
);
CREATE UNIQUE INDEX journal_by_key ON journal (key) WHERE message_id IS NULL;
CREATE INDEX journal_by_age ON journal (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX journal_with_texts ON journal (ended_at) WHERE texts AND ended_at IS NOT NULL;
CREATE INDEX journal_by_message ON journal (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX journal_ambiguous ON journal (first_at) WHERE status = 'ambiguous';
-- journal_of_own_deliveries: finds out if there are entries of scheduled sends.
CREATE INDEX journal_of_own_deliveries ON journal (n) WHERE starts_with(turn, 'i.');

-- state: the values of a bot's author. person is the handle of the person in a direct chat; NULL if it is not known.
-- The names compare by byte, as in SQLite, so that pages of values are the same on every storage.
CREATE TABLE state (
    scope  text COLLATE "C" NOT NULL,
    name   text COLLATE "C" NOT NULL,
    value  bytea NOT NULL,
    person text,
    PRIMARY KEY (scope, name)
);

-- timer: deliveries that are due later. n keeps the order of timers that are due at the same time.
CREATE TABLE timer (
    n       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      text NOT NULL UNIQUE,
    due     double precision NOT NULL,
    lane    text NOT NULL,
    kind    text NOT NULL,
    payload bytea NOT NULL
);
CREATE INDEX timer_by_due ON timer (due, n);
-- timer_by_lane: finds the scheduled sends of a chat, for ctx.scheduled and when its person opts out.
CREATE INDEX timer_by_lane ON timer (lane, due, n);

-- conversation: handlers that asked a person a question and wait for the answer; see storage/conversations.py.
CREATE TABLE conversation (
    n              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             text NOT NULL UNIQUE,
    replay         integer NOT NULL,
    chat_id        text NOT NULL,
    person         text NOT NULL,
    handler        text NOT NULL,
    status         text NOT NULL,
    asked_at       double precision NOT NULL,
    until          double precision NOT NULL,
    question       bytea NOT NULL,
    off_the_record boolean NOT NULL,
    root           bytea NOT NULL
);
-- conversation_by_person: one question is open for a person at a time. A failed conversation stays next to it, so that its
-- dead letter can be retried.
CREATE UNIQUE INDEX conversation_by_person ON conversation (chat_id, person) WHERE status <> 'failed';
CREATE INDEX conversation_by_chat ON conversation (chat_id);

-- broadcast: one message to many people; see storage/broadcasts.py. Its rows are kept, so that a name is not used twice.
-- next_at is the time before which its line sends to no other person, on the clock of the database. ended_at is NULL until
-- each recipient has an outcome. lane and purpose are as in the SQLite schema. content is the messages as JSON, deleted when the
-- broadcast ends.
CREATE TABLE broadcast (
    n              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL UNIQUE,
    line           text NOT NULL,
    status         text NOT NULL,
    per_minute     double precision NOT NULL,
    created_at     double precision NOT NULL,
    next_at        double precision NOT NULL DEFAULT 0,
    ended_at       double precision,
    off_the_record boolean NOT NULL,
    lane           text NOT NULL DEFAULT '',
    purpose        text NOT NULL,
    content        bytea NOT NULL
);
CREATE INDEX broadcast_open ON broadcast (n) WHERE ended_at IS NULL;

-- recipient: the people of a broadcast (`broadcast` is its n), in order. at is when the outcome was set.
CREATE TABLE recipient (
    broadcast bigint NOT NULL,
    n         bigint NOT NULL,
    handle    text NOT NULL,
    outcome   text NOT NULL,
    reason    text,
    at        double precision,
    PRIMARY KEY (broadcast, n)
);
CREATE INDEX recipient_by_outcome ON recipient (broadcast, outcome, n);

-- Every delivery leaves dead rows in these tables within a second. A fixed number of them starts a vacuum, because a
-- lease reads past the dead rows in front of the first head.
ALTER TABLE delivery SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE body SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE head SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- note_heads: keep the table `head`. Two transactions may change a lane at once: one adds to its end while another removes its
-- head. Whichever comes second waits for the row of the other, and only then looks for the first delivery, in a new snapshot.
-- The next delivery of a lane is looked up by comparing both columns of the index, and sequential scans are off: with statistics
-- of another minute, a plan may otherwise read the whole backlog, or all that waits in a lane that is stuck.
-- search_path: a statement of an operator, or of a backup tool, has another one.
CREATE FUNCTION note_heads() RETURNS trigger LANGUAGE plpgsql
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
    heads := ARRAY(SELECT (SELECT CASE WHEN d.lane = u.lane THEN d.seq END FROM delivery d
                           WHERE (d.lane, d.seq) >= (u.lane, 0) ORDER BY d.lane, d.seq LIMIT 1)
                   FROM unnest(lanes) WITH ORDINALITY AS u (lane, n) ORDER BY n);
    UPDATE head SET seq = u.seq FROM unnest(lanes, heads) AS u (lane, seq) WHERE head.lane = u.lane AND head.seq <> u.seq;
    IF array_position(heads, NULL) IS NOT NULL THEN
        DELETE FROM head USING unnest(lanes, heads) AS u (lane, seq) WHERE head.lane = u.lane AND u.seq IS NULL;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER heads_of_new AFTER INSERT ON delivery
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_heads();
CREATE TRIGGER heads_of_gone AFTER DELETE ON delivery
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_heads();

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
    -- Not the present time: it would look like the end of a wait that the last lease has missed.
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

-- lease_heads: hide the oldest heads that are free, at most `most` of them, for `seconds`, and return their numbers.
-- Volatile, so that it sees what was committed while the statement that calls it has waited for a lock. Each head is looked up by
-- itself, in order, until there are enough: other plans read what waits behind the head of a long lane.
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

-- lease_deliveries: give these deliveries, whose lanes are hidden, to a process. asks is true also if the chat is muted, or all chats are:
-- then the process reads the conversations and the mutes again.
CREATE FUNCTION lease_deliveries(seqs bigint[], process text) RETURNS SETOF leased LANGUAGE plpgsql
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

-- mute: the chats in which the bot is silent, as in the SQLite schema.
CREATE TABLE mute (
    lane           text COLLATE "C" PRIMARY KEY,
    until          double precision NOT NULL,
    person         text,
    reason         text,
    handoff        text,
    only_proactive boolean NOT NULL,
    since          double precision NOT NULL
);

-- decision: what the bot's manners have decided, as in the SQLite schema.
CREATE TABLE decision (
    n       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key     text NOT NULL UNIQUE,
    at      double precision NOT NULL,
    verdict text NOT NULL,
    purpose text NOT NULL,
    reason  text NOT NULL,
    turn    text NOT NULL,
    person  text,
    line    text,
    until   double precision
);
CREATE INDEX decision_by_person ON decision (person, at);
CREATE INDEX decision_by_line ON decision (line, at);
CREATE INDEX decision_by_age ON decision (at);

-- consent: who agreed to promotional messages, or opted out, when and how; see storage/consents.py. person is a handle in lower case.
-- Rows are never changed.
CREATE TABLE consent (
    n      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key    text NOT NULL UNIQUE,
    person text NOT NULL,
    at     double precision NOT NULL,
    what   text NOT NULL,
    how    text NOT NULL
);

-- consent_by_person: the last row of a person is read before each message to the person.
CREATE INDEX consent_by_person ON consent (person, at);

-- outcome: what became of each delivery, as in the SQLite schema.
CREATE TABLE outcome (
    n           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery    text NOT NULL,
    lane        text COLLATE "C" NOT NULL,
    type        text NOT NULL,
    message_id  text,
    trace_id    text,
    received_at double precision NOT NULL,
    ended_at    double precision NOT NULL,
    outcome     text NOT NULL,
    handler     text,
    why         text,
    turn        text,
    replay      integer NOT NULL,
    runs        integer NOT NULL,
    attempts    integer NOT NULL,
    ms          double precision,
    tried       text,
    calls       text,
    steps       text
);

-- outcome_by_lane: finds the rows of a chat, and those of a person to be forgotten.
CREATE INDEX outcome_by_lane ON outcome (lane, n);

-- act: what operators have done, as in the SQLite schema.
CREATE TABLE act (
    n      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     double precision NOT NULL,
    who    text NOT NULL,
    what   text NOT NULL,
    target text NOT NULL,
    about  text,
    reason text,
    counts text
);

-- act_by_about: finds the rows about a person.
CREATE INDEX act_by_about ON act (about) WHERE about IS NOT NULL;

-- post: let a handler of @bot.on_post run once this transaction is committed, as `running.post` does. It waits as a timer that is
-- due at once, so it holds no lock for which a server waits, however long the transaction takes.
-- chat, person: what the post concerns; at most one of them.
-- It runs with the rights of the owner: another user needs USAGE on the schema, and EXECUTE on this function.
CREATE FUNCTION post(name text, data jsonb, id text, chat text DEFAULT NULL, person text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ":queue", ":queue_clock", pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    key text := name || ':' || id;
    kind text := CASE WHEN person IS NULL THEN 'post' ELSE 'post_to' END;
    lane text := CASE WHEN chat IS NULL THEN 'post:' || lower(coalesce(person, name)) ELSE 'c:' || chat END;
    body bytea := convert_to(jsonb_build_object('event_type', 'linqbot.post', 'data', jsonb_build_object(
        'name', name, 'id', id, 'data', data, 'chat_id', chat, 'person', person))::text, 'UTF8');
    handle CONSTANT text := '^(\+[1-9][0-9]{1,14}|[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+)$';
    is_new boolean;
BEGIN
    IF name IS NULL OR name !~ '^[A-Za-z0-9_.-]{1,64}$' THEN
        RAISE EXCEPTION 'post: a name has 1 to 64 letters, digits, _, . and -, such as order.shipped';
    ELSIF id IS NULL OR id !~ '^[[:print:]]+$' OR length(key) > 128 THEN
        RAISE EXCEPTION 'post: id is a text that is the same for every repetition; with the name it has at most 127 characters';
    ELSIF data IS NULL OR jsonb_typeof(data) <> 'object' OR length(body) > 262144 THEN
        RAISE EXCEPTION 'post: data is a JSON object of at most 256 KiB';
    ELSIF chat IS NOT NULL AND person IS NOT NULL OR chat = '' OR length(chat) > 128 OR person = '' THEN
        RAISE EXCEPTION 'post: give the id of a chat, or the handle of a person, or neither';
    ELSIF chat ~ handle THEN
        RAISE EXCEPTION 'post: chat is the id of a chat. For a person, give the handle to person';
    ELSIF person !~ handle THEN
        -- Linq lists no chat of another handle, so the post would be given up.
        RAISE EXCEPTION 'post: person is a phone number in E.164 form, such as +14155550142, or an e-mail address';
    END IF;
    IF EXISTS (SELECT FROM seen s WHERE s.id = 'i.' || kind || '.' || key) THEN
        RETURN false;
    END IF;
    INSERT INTO timer AS t (id, due, lane, kind, payload)
        VALUES (key, extract(epoch FROM clock_timestamp()), lane, kind, body) ON CONFLICT DO NOTHING;
    is_new := FOUND;
    PERFORM pg_notify('linqbot.:queue', '{"by": "post", "work": false, "times": true, "own": false, "chats": [], "lanes": []}');
    RETURN is_new;
END
$$;
