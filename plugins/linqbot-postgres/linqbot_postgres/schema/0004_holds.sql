-- hold: the chats whose timers wait until a time, as in the SQLite schema. It takes the place of the table mute.
CREATE TABLE hold (
    lane       text COLLATE "C" PRIMARY KEY,
    until      double precision NOT NULL,
    kept_until double precision NOT NULL,
    since      double precision NOT NULL,
    person     text,
    kinds      text,
    notes      text
);

INSERT INTO hold (lane, until, kept_until, since, person, kinds, notes)
    SELECT lane, until, until + CASE WHEN handoff IS NULL THEN 0 ELSE 172800 END, since, person,
        CASE WHEN only_proactive THEN ',ask_in,ask_to,broadcast,post,post_to,repeat,send,' END,
        CASE WHEN handoff IS NULL AND reason IS NULL THEN NULL
             WHEN handoff IS NULL THEN json_build_object('reason', reason)::text
             WHEN reason IS NULL THEN json_build_object('handoff', handoff::json)::text
             ELSE json_build_object('handoff', handoff::json, 'reason', reason)::text END
    FROM mute;
DROP TABLE mute;

-- hold_by_person: finds the held chats of a person.
CREATE INDEX hold_by_person ON hold (person) WHERE person IS NOT NULL;

-- lease_deliveries: as before. asks is true also if the chat is held, or all chats are: then the process reads the conversations and the
-- holds again.
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
                OR EXISTS (SELECT FROM hold h WHERE h.lane IN (d.lane, 'c:*'))
                OR EXISTS (SELECT FROM delivery e WHERE e.lane = d.lane AND e.type = 'message.edited')
                OR EXISTS (SELECT FROM timer t WHERE t.lane = d.lane AND t.kind = 'edit'));
END
$$;
