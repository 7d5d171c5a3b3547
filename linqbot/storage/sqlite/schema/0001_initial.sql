-- Schema 1. The number of the newest schema applied is PRAGMA user_version; a schema file is applied in one
-- transaction together with its number. Times are Unix seconds (REAL), JSON and bodies are BLOBs: bytes as they came.

-- meta: facts about the file itself.
-- `install` (128 random bits) is part of every idempotency key, so it must outlive every process.
-- `first_active_at` is when a webhook was accepted first: what was sent before was not meant for this bot.
-- `active_at` is when a webhook was last accepted, as of a minute ago at most; newer ones may wait in delivery.
-- `off_the_record` is there once the file has held text of a line that keeps nothing (zero retention): from then on
-- the pages that a delete frees are overwritten.
-- `unwiped` is there while bytes of purged dead letters may be in free pages: the next purge wipes them.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- delivery: what was accepted and is not finished yet.
-- seq is the order of acceptance. replay is raised by each deliberate replay, for new idempotency keys.
-- delivery_count counts leases, attempts failed runs.
-- crashes counts the times a process died while this ran alone: then it was the cause. crashed_with_others counts the times others
-- ran beside it: then it is a suspect, and from its second crash on it runs in the max_concurrent_suspects of so many suspects at most,
-- a quarter of those it died with; at 1 alone. A run that ends, however it ends, clears it.
-- leased is written by take's own commit: whoever opens the file after a crash finds it still set.
-- carrier is what plugins let travel with it, as JSON; NULL when nothing does.
-- waits tells a person what not_before is for: retrying or deferred.
CREATE TABLE delivery (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL,
    lane        TEXT NOT NULL,
    type        TEXT NOT NULL,
    message_key TEXT,
    carrier     TEXT,
    received_at REAL NOT NULL,
    replay        INTEGER NOT NULL DEFAULT 0,
    delivery_count        INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    crashes     INTEGER NOT NULL DEFAULT 0,
    crashed_with_others      INTEGER NOT NULL DEFAULT 0,
    max_concurrent_suspects     INTEGER NOT NULL DEFAULT 0,
    leased     INTEGER NOT NULL DEFAULT 0,
    waits       TEXT,
    not_before  REAL NOT NULL DEFAULT 0,
    error       TEXT
);

-- body: the bytes of a delivery, apart from it.
-- take and retry rewrite the delivery's row; beside a body of kilobytes each rewrite would dirty a page of its own.
-- padding, here and in dead, journal and timer: 4096 zeros in front of text that is off the record, else NULL. SQLite
-- moves rows between pages and leaves copies in the space that becomes free; only the first 4061 bytes of a row can be
-- moved. What follows them lies in overflow pages, which stay where they are until they are freed and overwritten.
CREATE TABLE body (
    seq     INTEGER PRIMARY KEY,
    padding BLOB,
    body    BLOB NOT NULL
);

-- seen: every delivery id and message key we know; a second copy is refused by it.
-- at is NULL while the delivery is in the inbox and the time it left afterwards: a day is counted from there.
CREATE TABLE seen (
    id TEXT PRIMARY KEY,
    at REAL
) WITHOUT ROWID;

-- seen_by_age: finds the few ids to forget without looking at the others.
CREATE INDEX seen_by_age ON seen (at) WHERE at IS NOT NULL;

-- dead: what gave up, with why. Its body and its entries stay until a person decides.
-- The body comes last, here and in done: SQLite walks through it to reach what stands behind it.
CREATE TABLE dead (
    n           INTEGER PRIMARY KEY,
    padding     BLOB,
    id          TEXT NOT NULL UNIQUE,
    lane        TEXT NOT NULL,
    type        TEXT NOT NULL,
    message_key TEXT,
    carrier     TEXT,
    received_at REAL NOT NULL,
    error       TEXT NOT NULL,
    handler     TEXT,
    replay        INTEGER NOT NULL,
    delivery_count        INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    crashes     INTEGER NOT NULL,
    dead_lettered_at   REAL NOT NULL,
    body        BLOB NOT NULL
);

-- done: what was acked, kept for replays as long as history is on; without it nothing comes here.
CREATE TABLE done (
    n           INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    lane        TEXT NOT NULL,
    type        TEXT NOT NULL,
    message_key TEXT,
    carrier     TEXT,
    received_at REAL NOT NULL,
    replay        INTEGER NOT NULL,
    acked_at    REAL NOT NULL,
    body        BLOB NOT NULL
);

-- done_by_age: finds the few to forget without looking at the others.
CREATE INDEX done_by_age ON done (acked_at);

-- journal: the calls of turns. n is the order in which they were begun.
-- UNIQUE (key): two entries under one idempotency key would silence each other at Linq.
-- delivery is what receipts have told, see journal.py.
-- ended_at is NULL until the turn is acked; a turn that never is (dead-lettered, deferred) keeps its entries.
-- texts is 1 while call and answer hold what was said. digest tells a call without texts from another one; it goes with
-- the ack, after which no further run needs it.
-- origin is JSON: the people and the chat of the turn, as far as they are known. A forgotten person is found by it when
-- the delivery is gone.
-- off_the_record is 1 when the turn's line keeps nothing.
CREATE TABLE journal (
    n              INTEGER PRIMARY KEY,
    turn           TEXT NOT NULL,
    replay           INTEGER NOT NULL,
    slot           TEXT NOT NULL,
    key            TEXT NOT NULL UNIQUE,
    safety         TEXT NOT NULL,
    off_the_record INTEGER NOT NULL,
    origin         BLOB,
    padding        BLOB,
    call           BLOB NOT NULL,
    status         TEXT NOT NULL,
    first_at       REAL NOT NULL,
    answer         BLOB,
    message_id     TEXT,
    chat_id        TEXT,
    delivery       TEXT,
    digest         TEXT,
    texts          INTEGER NOT NULL,
    ended_at       REAL,
    UNIQUE (turn, replay, slot)
);

-- journal_by_age: finds the few entries to forget without looking at the others.
CREATE INDEX journal_by_age ON journal (ended_at) WHERE ended_at IS NOT NULL;

-- journal_with_texts: finds those whose texts have had their time. With history off nearly all are settled without texts
-- before they end, so it stays empty and costs nothing.
CREATE INDEX journal_with_texts ON journal (ended_at) WHERE texts AND ended_at IS NOT NULL;

-- journal_by_message: tells whether a message somebody answers in a group is ours.
CREATE INDEX journal_by_message ON journal (message_id) WHERE message_id IS NOT NULL;

-- state: an author's values. Clustered by scope, because a turn loads a whole scope at once.
CREATE TABLE state (
    scope TEXT NOT NULL,
    name  TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (scope, name)
) WITHOUT ROWID;

-- timer: what becomes a delivery of its lane at a time. n keeps the order of those due at one time.
CREATE TABLE timer (
    n       INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    due     REAL NOT NULL,
    lane    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    padding BLOB,
    payload BLOB NOT NULL,
    grace_s REAL NOT NULL
);

-- timer_by_due: the earliest is asked for after every change, and the due ones are moved in its order.
CREATE INDEX timer_by_due ON timer (due);
