"""Linq's error codes with meaning, cause and fix. `linqbot explain` prints this table.

A code is in the body of a response (`error.code`), or in a webhook event that reports a failure, such as
`message.failed`. Codes of webhook events have no HTTP status here. If Linq publishes no meaning for a code, the table
says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """One of Linq's error codes.

    Attributes:
        status: The HTTP status that comes with the code; None in webhook events, or if Linq does not say.
        meaning, why, to_do: A sentence or two each.
    """

    status: int | None
    meaning: str
    why: str
    to_do: str


_CALL = "Change the call. linqbot refuses most such calls before it sends them, and names the rule."
_LATER = "linqbot retries calls that are safe to repeat. If the error stays, send Linq's support the trace id."
_NOT_PUBLISHED = "Linq publishes no meaning for this code. It comes with a webhook event that reports a failure."
_FAILED = "The message counts as not delivered. Send it again if it still matters; ask Linq's support about the code."

CODES: Final[Mapping[int, Code]] = MappingProxyType({
    1001: Code(400, "A required field is missing.", "The error message names the field.", _CALL),
    1002: Code(400, "A phone number is not in E.164 form.",
        "It has spaces, brackets or dashes, or no country.",
        "Write + and digits only, as in +14155550142. linqbot checks this before it sends (R7)."),
    1003: Code(400, "The body is not valid JSON, or its Content-Type is not application/json.",
        "A proxy between the client and Linq changed the body, or it was written by hand.",
        "linqbot's client sends both correctly; with curl, add -H 'content-type: application/json'."),
    1004: Code(400, "The parts of a message do not go together.", "One of the rules R19 to R50 is broken.", _CALL),
    1005: Code(400, "A value is not valid: a wrong type, an unknown name, out of range, or too late to be changed.",
        "Also: a link in the first message of a new chat (R52), an edit after 15 minutes (R77).",
        _CALL),
    1006: Code(409, "The chat does not support this action in its current state.",
        "Names, icons and participants can be changed in groups only, and a group keeps at least three people.",
        "Check event.chat.is_group first. Repeating the call does not help."),
    1007: Code(429, "Too many calls.",
        "30 messages in 60 s from one line to one person; 100 a day in a sandbox; a contact card per chat in 5 minutes.",
        "In a handler nothing: linqbot limits its rate and defers the turn. Elsewhere wait for Retry-After seconds."),
    2001: Code(404, "Your account has no chat or other resource with this id.",
        "The id is wrong, was deleted, or belongs to another account: Linq does not distinguish these cases.",
        "Check the id, and check that LINQ_API_V3_API_KEY belongs to the account of the chat."),
    2002: Code(404, "Your account has no message with this id.",
        "The id is wrong, or the message was deleted or has expired; short-lived messages expire within a day.",
        "Store the data that you need from a message when it arrives."),
    2003: Code(404, "Your account has no attachment with this id.",
        "It was deleted or has expired, or a link to a file of another account was used.",
        "Upload the file again and send the new id."),
    2004: Code(401, "The API token is missing or not valid.",
        "It was mistyped, was revoked, or is for another service.",
        "Set LINQ_API_V3_API_KEY to the token from your Linq dashboard. The turns of a running bot wait until then."),
    2005: Code(403, "Your account may not do this.",
        "The line in `from` is not yours, or a feature or payment provider is not connected to the account.",
        "See your lines with client.phone_numbers.list(); for a feature, ask Linq."),
    2008: Code(403, "In a sandbox a person must write first.",
        "A sandbox account can reply to people, but cannot start a conversation.",
        "Text the line from that phone once, or ask Linq for a production account."),
    2011: Code(None, "A chat's background could not be changed.",
        "It comes with chat.background_update_failed; Linq gives no further reason.",
        "Try another background; photos must be https addresses of a JPEG, PNG or HEIC image."),
    2012: Code(404, "The line has no active contact card.",
        "The card was never created, or its creation did not complete.",
        "Create it first: client.contact_card.create(…)."),
    2014: Code(409, "The line has an active contact card already.",
        "create is for the first card only.",
        "Change it with client.contact_card.update(…)."),
    2015: Code(409, "No line of yours can send this.",
        "All lines are flagged, excluded, or of another type than requested.",
        "Check client.phone_numbers.list(), and wait until a line has recovered, or ask Linq."),
    2016: Code(409, "A location can be requested in direct chats only.",
        "The chat is a group.",
        "Request it in the direct chat with that person."),
    2017: Code(409, "A location request needs iMessage.",
        "The chat is SMS or RCS.",
        "Check event.service first. On other services ask the person in a message."),
    2018: Code(409, "An app card needs iMessage.",
        "The chat is SMS or RCS, or preferred_service asks for one of them.",
        "Check event.service first, and send a link instead."),
    2022: Code(500, "The setup of the contact card did not complete.",
        "The phone network did not accept it in time.",
        "Make the same call again; Linq continues the setup."),
    2023: Code(409, "A mention needs a group.",
        "The chat is a direct one.",
        "Leave the mention out in direct chats; check event.chat.is_group."),
    2024: Code(403, "The person has opted out of messages from you.",
        "The person wrote STOP or a similar word in a direct chat. The opt-out applies to all your lines.",
        "Send nothing. Any other message of the person opts in again. Until then ctx.reply returns status opted_out."),
    2026: Code(403, "You have blocked this handle.",
        "The handle is in client.blocked_handles.list().",
        "To send to the handle, unblock it: client.blocked_handles.unblock(…)."),
    2027: Code(403, "Your line cannot send now.",
        "Linq has suspended the line for a time, for example because it is flagged. Reading still works.",
        "Check its status with client.phone_numbers.list(), and wait or ask Linq."),
    2028: Code(400, "An App Clip needs iMessage.",
        "preferred_service asks for SMS or RCS.",
        "Leave preferred_service out, or send a link instead."),
    3006: Code(500, "Linq had an internal error.", "As far as Linq knows, your call did not cause it.", _LATER),
    3007: Code(None, "A change failed inside Linq.", "It comes with an event such as chat.group_name_update_failed.", _LATER),
    4001: Code(None, "The message could not be delivered.", "Linq gives no more precise reason.", _FAILED),
    4002: Code(None, "A message could not be delivered.", _NOT_PUBLISHED, _FAILED),
    4004: Code(503, "The phone network cannot do this now.",
        "RCS is not enabled on the line, or a contact card was written too often.",
        "Wait some minutes; for RCS, ask Linq to enable it on the line."),
    4005: Code(None, "The person's phone cannot show this kind of message.",
        "It comes with message.failed, for example for media that a carrier does not accept.",
        "Send it as text or as a link."),
    4006: Code(None, "A message could not be delivered.", _NOT_PUBLISHED, _FAILED),
    4007: Code(None, "A message could not be delivered.", _NOT_PUBLISHED, _FAILED),
    4008: Code(None, "A message could not be delivered.", _NOT_PUBLISHED, _FAILED),
    4009: Code(503, "The line has no RCS account.",
        "RCS was never set up on the line.",
        "Ask Linq to enable RCS, or leave the check out."),
    4010: Code(503, "The check of the handle's services failed.",
        "The check could not run.",
        "Try again later; sending without preferred_service needs no check."),
    5002: Code(None, "The background's image could not be used.",
        "It comes with chat.background_update_failed.",
        "Give the https address of a JPEG, PNG or HEIC image that needs no login."),
    5006: Code(400, "The URL does not lead to an image.",
        "Linq checks the content, not the name.",
        "Open the URL in a private browser window: it may show a login page or an error page."),
    5007: Code(400, "The URL could not be fetched.",
        "The URL is not public, returns an error or is slow, or the file is over 10 MB.",
        "Make the URL public, or upload the file: client.attachments accepts up to 100 MB."),
})  # fmt: skip


def page(code: int) -> str:
    return f"https://docs.linqapp.com/error/codes/{str(code)[0]}xxx/{code}/"
