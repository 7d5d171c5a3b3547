-- Schema 1, the first. PRAGMA user_version is the number of the newest schema that was applied. A schema file is applied in
-- one transaction together with its number. Times are Unix seconds (REAL). JSON and bodies are BLOBs: the bytes received.

-- meta: facts about the file itself.
-- `install` (128 random bits) is part of every idempotency key, so it must outlive every process.
-- `first_active_at` is when the first webhook was accepted. Messages sent before it were not meant for this bot.
-- `active_at` is when a webhook was last accepted, at most a minute out of date; newer ones may be in delivery.
-- `off_the_record` is set once the file has held text of a line that keeps nothing (zero retention). From then on, the
-- pages that a delete frees are overwritten.
-- `unwiped` is set while bytes of what was purged or forgotten may be in free pages, until the file is written again.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- delivery: the inbox, which holds what was accepted and is not finished.
-- seq is the order of acceptance; put_in_order changes it within a lane.
-- message_key is a second key against duplicates; NULL if there is none.
-- carrier is JSON that plugins attach to a delivery; NULL if there is none.
-- replay is 0, then one more for each deliberate replay, which gets new idempotency keys.
-- put_back is 1 if an operator has put the delivery back into the inbox.
-- delivery_count is the number of leases, attempts the number of failed runs.
-- crashes counts the times the process died while this delivery was the only one leased: then it was the cause. A lease
-- that ran out also counts.
-- crashed_with_others counts the times the process died while others were leased too: then it may be the cause. From
-- its second crash on, the delivery is a suspect: max_concurrent_suspects limits the number of suspects that may run
-- while it does, to a quarter of the deliveries that were leased in the last crash. At 1 it runs alone, without any
-- other delivery. 0 means that it is not a suspect. When a run ends, whatever its outcome, both columns are reset.
-- progress is how far the turn of the delivery had come when it last ran after a crash: see Storage.note_progress.
-- crashes_before_progress is the value of crashes when the turn had just come that far.
-- leased is set by the commit of take, so it is still set when the file is opened after a crash.
-- waits shows operators the reason for not_before: retrying, deferred or gathering. error is what goes
-- with it, as in dead.
CREATE TABLE delivery (
    seq                     INTEGER PRIMARY KEY,
    id                      TEXT NOT NULL,
    lane                    TEXT NOT NULL,
    type                    TEXT NOT NULL,
    message_key             TEXT,
    carrier                 TEXT,
    received_at             REAL NOT NULL,
    replay                  INTEGER NOT NULL DEFAULT 0,
    put_back                INTEGER NOT NULL DEFAULT 0,
    delivery_count          INTEGER NOT NULL DEFAULT 0,
    attempts                INTEGER NOT NULL DEFAULT 0,
    crashes                 INTEGER NOT NULL DEFAULT 0,
    crashed_with_others     INTEGER NOT NULL DEFAULT 0,
    max_concurrent_suspects INTEGER NOT NULL DEFAULT 0,
    progress                INTEGER NOT NULL DEFAULT 0,
    crashes_before_progress INTEGER NOT NULL DEFAULT 0,
    leased                  INTEGER NOT NULL DEFAULT 0,
    waits                   TEXT,
    not_before              REAL NOT NULL DEFAULT 0,
    error                   TEXT
);

-- body: the bytes of each delivery, in a table of their own.
-- take and retry rewrite the row in delivery. With a body of kilobytes in it, each rewrite would change one more page.
-- padding, here and in dead, journal and timer, is 4096 zeros in front of text off the record, else NULL. SQLite moves
-- rows between pages and leaves copies in the space that becomes free, but only the first 4061 bytes of a row can be
-- moved. The bytes after them are in overflow pages, which stay where they are until they are freed and overwritten.
CREATE TABLE body (
    seq     INTEGER PRIMARY KEY,
    padding BLOB,
    body    BLOB NOT NULL
);

-- seen: the id and the message key of every known delivery. A second copy of a delivery is refused by it.
-- seq is the number of the delivery: it is in the inbox while `delivery` has that row. New deliveries get their numbers
-- here, so that a number is not used again while its row is known.
-- at is when the delivery was stored, or when it left the inbox, if it stayed for more than a minute. The row is kept
-- for a day from that time, and while the delivery is in the inbox. No index finds the oldest rows: they are the first.
-- id or message_key is NULL in rows that a copy of another storage has brought: for deliveries that had left its inbox,
-- that does not say which of them belong together.
CREATE TABLE seen (
    seq         INTEGER PRIMARY KEY,
    id          TEXT UNIQUE,
    message_key TEXT,
    at          REAL NOT NULL
);

-- seen_by_message_key: the other key by which a second copy is refused. Only received messages have one.
CREATE UNIQUE INDEX seen_by_message_key ON seen (message_key) WHERE message_key IS NOT NULL;

-- dead: dead letters, with the reason: error is JSON, see error_details.py. Their bodies and journal entries stay until an operator retries or purges them.
-- body is the last column, here and in done, because SQLite reads through it to reach a column behind it.
CREATE TABLE dead (
    n                INTEGER PRIMARY KEY,
    padding          BLOB,
    id               TEXT NOT NULL UNIQUE,
    lane             TEXT NOT NULL,
    type             TEXT NOT NULL,
    message_key      TEXT,
    carrier          TEXT,
    received_at      REAL NOT NULL,
    error            TEXT NOT NULL,
    handler          TEXT,
    replay           INTEGER NOT NULL,
    delivery_count   INTEGER NOT NULL,
    attempts         INTEGER NOT NULL,
    crashes          INTEGER NOT NULL,
    dead_lettered_at REAL NOT NULL,
    body             BLOB NOT NULL
);

-- done: acked deliveries, kept for replays while history is on. With history off it stays empty.
CREATE TABLE done (
    n           INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    lane        TEXT NOT NULL,
    type        TEXT NOT NULL,
    message_key TEXT,
    carrier     TEXT,
    received_at REAL NOT NULL,
    replay      INTEGER NOT NULL,
    acked_at    REAL NOT NULL,
    body        BLOB NOT NULL
);

-- done_by_age: finds the few rows to delete without reading the others.
CREATE INDEX done_by_age ON done (acked_at);

-- journal: one row (a journal entry) for each API call of a turn. n is the order in which the calls were begun.
-- key is the idempotency key.
-- origin is JSON: the people and the chat of the turn, as far as they are known. A forgotten person is found by it when
-- the delivery is gone.
-- off_the_record is 1 if the line of the turn keeps nothing (zero retention).
-- delivery is the furthest state that receipts have reported; see storage/journal.py.
-- digest identifies a call after its texts were deleted. It is deleted with the ack: no further run needs it.
-- texts is 1 while call and answer hold people's words.
-- ended_at is NULL until the turn is acked. The rows of a turn that is never acked (dead-lettered, deferred) are kept.
CREATE TABLE journal (
    n              INTEGER PRIMARY KEY,
    turn           TEXT NOT NULL,
    replay         INTEGER NOT NULL,
    slot           TEXT NOT NULL,
    key            TEXT NOT NULL,
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

-- journal_by_key: finds the call that a receipt belongs to, as long as the call's message is not known. Unique, because
-- Linq would treat the second of two calls with one key as a repetition. Nearly every row leaves it when its turn ends,
-- so it stays small: an index of all keys would be as large as the rows, and each key would change another page of it.
CREATE UNIQUE INDEX journal_by_key ON journal (key) WHERE message_id IS NULL;

-- journal_by_age: finds the few rows to delete without reading the others.
CREATE INDEX journal_by_age ON journal (ended_at) WHERE ended_at IS NOT NULL;

-- journal_with_texts: finds the rows whose texts are to be deleted. With history off, nearly all rows lose their texts
-- before their turn ends, so the index stays empty and costs nothing.
CREATE INDEX journal_with_texts ON journal (ended_at) WHERE texts AND ended_at IS NOT NULL;

-- journal_by_message: finds out if a message that a person answers in a group was sent by the bot.
CREATE INDEX journal_by_message ON journal (message_id) WHERE message_id IS NOT NULL;

-- journal_ambiguous: finds the calls and steps that an operator must look at. Nearly no row is in it.
CREATE INDEX journal_ambiguous ON journal (first_at) WHERE status = 'ambiguous';

-- state: the values of a bot's author. Clustered by scope, because a turn loads a whole scope at once.
-- person is, in the scope of a direct chat, the handle of the person in it. `linqbot person forget` finds the chat by it when no
-- delivery and no journal entry is left that names both. NULL in other scopes, and if the person is not known.
CREATE TABLE state (
    scope  TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  BLOB NOT NULL,
    person TEXT,
    PRIMARY KEY (scope, name)
) WITHOUT ROWID;

-- timer: deliveries that are due later. n keeps the order of timers that are due at the same time.
CREATE TABLE timer (
    n       INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    due     REAL NOT NULL,
    lane    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    padding BLOB,
    payload BLOB NOT NULL
);

-- timer_by_due: the earliest timer is read after every change, and due timers are moved in this order.
CREATE INDEX timer_by_due ON timer (due);

-- timer_by_lane: finds the scheduled sends of a chat, for ctx.scheduled and when its person opts out.
CREATE INDEX timer_by_lane ON timer (lane, due);

-- conversation: handlers that asked a person a question and wait for the answer; see storage/conversations.py.
-- id is the delivery that began the conversation, and the turn of its journal rows. root is the body of that delivery.
-- person is a handle in lower case, or `*` for any person of the chat. until is the time at which the question times
-- out. padding is in front of question and root: see body.
CREATE TABLE conversation (
    n              INTEGER PRIMARY KEY,
    id             TEXT NOT NULL UNIQUE,
    replay         INTEGER NOT NULL,
    chat_id        TEXT NOT NULL,
    person         TEXT NOT NULL,
    handler        TEXT NOT NULL,
    status         TEXT NOT NULL,
    asked_at       REAL NOT NULL,
    until          REAL NOT NULL,
    off_the_record INTEGER NOT NULL,
    padding        BLOB,
    question       BLOB NOT NULL,
    root           BLOB NOT NULL
);

-- conversation_by_person: one question is open for a person at a time. A failed conversation stays next to it, so that its
-- dead letter can be retried.
CREATE UNIQUE INDEX conversation_by_person ON conversation (chat_id, person) WHERE status <> 'failed';

-- broadcast: one message to many people; see storage/broadcasts.py. Its rows are kept, so that a name is not used twice.
-- next_at is the time before which its line sends to no other person. ended_at is NULL until each recipient has an outcome.
-- lane is the lane of the turn that has begun the broadcast, until it ends: its report waits there. Empty if there is none.
-- purpose is why it is sent: requested or promotional.
-- content is the messages as JSON, deleted when the broadcast ends. padding is in front of it: see body.
CREATE TABLE broadcast (
    n              INTEGER PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    line           TEXT NOT NULL,
    status         TEXT NOT NULL,
    per_minute     REAL NOT NULL,
    created_at     REAL NOT NULL,
    next_at        REAL NOT NULL DEFAULT 0,
    ended_at       REAL,
    off_the_record INTEGER NOT NULL,
    lane           TEXT NOT NULL DEFAULT '',
    purpose        TEXT NOT NULL,
    padding        BLOB,
    content        BLOB NOT NULL
);

-- recipient: the people of a broadcast (`broadcast` is its n), in order. at is when the outcome was set; for pending, the time
-- until which the row waits.
CREATE TABLE recipient (
    broadcast INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    handle    TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    reason    TEXT,
    at        REAL,
    PRIMARY KEY (broadcast, n)
) WITHOUT ROWID;

-- recipient_by_outcome: finds the first that is pending, and counts the few that are under way.
CREATE INDEX recipient_by_outcome ON recipient (broadcast, outcome, n);

-- mute: the chats in which the bot is silent; see storage/mutes.py. The lane c:* is that of all chats. until is when the mute ends, and
-- since when it began. person is, for a direct chat, the handle of the person in it, in lower case. handoff is the person of yours who
-- answers there by way of the bot, and how long, as JSON. only_proactive is 1 if only what the bot says first is muted. Timers of a
-- muted lane do not fire.
CREATE TABLE mute (
    lane           TEXT PRIMARY KEY,
    until          REAL NOT NULL,
    person         TEXT,
    reason         TEXT,
    handoff        TEXT,
    only_proactive INTEGER NOT NULL,
    since          REAL NOT NULL
) WITHOUT ROWID;

-- decision: what the bot's manners have decided about sends; see storage/decisions.py. n keeps the order. key is that of the call.
-- person is a handle in lower case; NULL for a group. until is the time until which the call waits; NULL if it does not.
CREATE TABLE decision (
    n       INTEGER PRIMARY KEY,
    key     TEXT NOT NULL UNIQUE,
    at      REAL NOT NULL,
    verdict TEXT NOT NULL,
    purpose TEXT NOT NULL,
    reason  TEXT NOT NULL,
    turn    TEXT NOT NULL,
    person  TEXT,
    line    TEXT,
    until   REAL
);

-- decision_by_person, decision_by_line: what was sent to a person, and from a line, of late.
CREATE INDEX decision_by_person ON decision (person, at);
CREATE INDEX decision_by_line ON decision (line, at);

-- decision_by_age: finds the rows to delete.
CREATE INDEX decision_by_age ON decision (at);

-- consent: who agreed to promotional messages, or opted out, when and how; see storage/consents.py. person is a handle in lower case.
-- Rows are never changed.
CREATE TABLE consent (
    n      INTEGER PRIMARY KEY,
    key    TEXT NOT NULL UNIQUE,
    person TEXT NOT NULL,
    at     REAL NOT NULL,
    what   TEXT NOT NULL,
    how    TEXT NOT NULL
);

-- consent_by_person: the last row of a person is read before each message to the person.
CREATE INDEX consent_by_person ON consent (person, at);

-- outcome: what became of each delivery, with ids only; see storage/outcomes.py. A run after which the turn runs again has a row
-- too, unless the turn has many. n is the order in which turns ended, so the oldest rows are the first.
-- turn has the journal entries of its calls, if that is another delivery: the one that has asked the question which it answers.
-- runs is the number of leases of the delivery, attempts that of its failed runs. tried is JSON: the handlers that did not
-- take the event, each with its filter that did not fit. steps is JSON: the steps of the run, with names, times and tokens.
CREATE TABLE outcome (
    n           INTEGER PRIMARY KEY,
    delivery    TEXT NOT NULL,
    lane        TEXT NOT NULL,
    type        TEXT NOT NULL,
    message_id  TEXT,
    trace_id    TEXT,
    received_at REAL NOT NULL,
    ended_at    REAL NOT NULL,
    outcome     TEXT NOT NULL,
    handler     TEXT,
    why         TEXT,
    turn        TEXT,
    replay      INTEGER NOT NULL,
    runs        INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    ms          REAL,
    tried       TEXT,
    calls       TEXT,
    steps       TEXT
);

-- outcome_by_lane: finds the rows of a chat, and those of a person to be forgotten.
CREATE INDEX outcome_by_lane ON outcome (lane, n);

-- act: what operators have done, by whom and why, and the receipts of exports and of forget; see storage/acts.py. target is an id. about is
-- the id of a chat, or a digest of a handle. counts are the numbers of rows by table, as JSON; NULL if the row is no receipt.
CREATE TABLE act (
    n      INTEGER PRIMARY KEY,
    at     REAL NOT NULL,
    who    TEXT NOT NULL,
    what   TEXT NOT NULL,
    target TEXT NOT NULL,
    about  TEXT,
    reason TEXT,
    counts TEXT
);

-- act_by_about: finds the rows about a person.
CREATE INDEX act_by_about ON act (about) WHERE about IS NOT NULL;
