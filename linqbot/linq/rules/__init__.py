"""Linq's rules that need no state, as pure checks of a request.

The client checks a request before it sends it, the emulator when it receives it. Both use the same error messages.

`check(endpoint, body, query, path)` returns the first broken rule, or None. Rules that depend on chats, lines, limits
or time (R12-R15, R54-R65, R69-R75, …) are checked by the emulator only. So is `first_message` (R52, R53): only Linq
knows if a chat is new. A client that refused a link because the chat *might* be new would refuse allowed messages.

Messages name positions, lengths and allowed values, never the text of the request, because they are logged. To find a
rule, search for its number: each check has it, in its docstring or as an argument.
"""

from linqbot.linq.rules.check import MAX_UPLOAD_BYTES, check
from linqbot.linq.rules.message import first_message
from linqbot.linq.rules.values import Broken

__all__ = ["MAX_UPLOAD_BYTES", "Broken", "check", "first_message"]
