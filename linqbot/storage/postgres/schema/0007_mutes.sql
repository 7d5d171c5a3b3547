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

-- lease_deliveries: give these deliveries, whose lanes are hidden, to a process. asks is true also if the chat is muted, or all chats are:
-- then the process reads the conversations and the mutes again.
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
