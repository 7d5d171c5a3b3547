-- Schema 1, in the PostgreSQL schema of one bot. meta.schema is the number of the newest file that was applied. Times are
-- Unix seconds (double precision). JSON and bodies are bytea: the bytes received.
--
-- The lanes are a queue of pgmq that has the name of the PostgreSQL schema: one message for each delivery of the inbox,
-- with the lane in its header x-pgmq-group and nothing else. Its msg_id is the order of acceptance, its vt the time until
-- which its lane is leased or waits. Both are on the clock of the database.

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
CREATE TABLE process (
    id         text PRIMARY KEY,
    lock       bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
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
    token                   bigint,
    owner                   text,
    waits                   text,
    not_before              double precision NOT NULL DEFAULT 0,
    error                   text
);
CREATE UNIQUE INDEX delivery_by_id ON delivery (id);
CREATE INDEX delivery_by_lane ON delivery (lane, seq);
CREATE UNIQUE INDEX delivery_by_token ON delivery (token) WHERE token IS NOT NULL;
CREATE INDEX delivery_by_owner ON delivery (owner) WHERE owner IS NOT NULL;
CREATE INDEX delivery_suspects ON delivery (seq) WHERE max_concurrent_suspects > 0;

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
    payload bytea NOT NULL,
    grace_s double precision NOT NULL
);
CREATE INDEX timer_by_due ON timer (due, n);

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
-- each recipient has an outcome. content is the messages as JSON, deleted when the broadcast ends.
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
-- claim reads the whole queue, dead rows included: 7 ms after 60,000 events without a vacuum, 0.2 ms after one.
ALTER TABLE delivery SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE body SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
