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
    END IF;
    IF EXISTS (SELECT FROM seen s WHERE s.id = 'i.' || kind || '.' || key) THEN
        RETURN false;
    END IF;
    INSERT INTO timer AS t (id, due, lane, kind, payload, grace_s)
        VALUES (key, extract(epoch FROM clock_timestamp()), lane, kind, body, 0) ON CONFLICT DO NOTHING;
    is_new := FOUND;
    PERFORM pg_notify('linqbot.:queue', '{"by": "post", "work": false, "times": true, "own": false, "chats": [], "lanes": []}');
    RETURN is_new;
END
$$;
