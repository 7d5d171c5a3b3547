"""Linq's rules that need no state, as pure checks of what goes over the wire: the client asks before it sends, the
emulator refuses after it received. The same sentence stands behind both.

`check(endpoint, body, query, path)` gives the first rule broken, or None. Rules that need to know chats, lines, limits or
time (R12-R15, R54-R65, R69-R75, …) are the emulator's alone. So is `first_message` (R52, R53): whether a chat is new is
known only to Linq, and a client that refused a link because the chat *might* be new would refuse allowed messages.

Messages name positions, lengths and allowed values, never what was written: they end up in logs. To find a rule, search
for its number: every function names the rules it knows.
"""

from linqbot.rules.broken import Broken
from linqbot.rules.endpoints import check
from linqbot.rules.message import first_message
from linqbot.rules.uploads import CONTENT_TYPES, MOST_UPLOAD_BYTES

__all__ = ["CONTENT_TYPES", "MOST_UPLOAD_BYTES", "Broken", "check", "first_message"]
