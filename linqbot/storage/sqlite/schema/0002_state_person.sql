-- Schema 2.

-- state.person: in the scope of a direct chat, the handle of the person in it. `linqbot forget` finds the chat by it when
-- no delivery and no journal entry is left that names both. NULL in other scopes, and if the person is not known.
ALTER TABLE state ADD COLUMN person TEXT;
