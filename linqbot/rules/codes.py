"""Linq's error codes: what each means, why it comes, what to do. `linqbot explain` prints this table.

A code stands in an answer's body (`error.code`), or in a webhook that tells of a failure (`message.failed` and the
like); those have no HTTP status here. Where Linq publishes no meaning, that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """One of Linq's numbers.

    Attributes:
        status: The HTTP status it comes with; None in webhooks, or where Linq does not say.
        meaning, why, to_do: A sentence or two each.
    """

    status: int | None
    meaning: str
    why: str
    to_do: str


_CALL = "Change the call; linqbot refuses most of these before it sends, with the rule's name."
_LATER = "linqbot repeats what is safe to repeat. If it stays, ask Linq's support, with the trace id."
_NOT_PUBLISHED = "Linq publishes no meaning for this number; it comes with a webhook that tells of a failure."
_FAILED = "The message counts as not delivered. Send it anew if it still matters; ask Linq's support about the number."

CODES: Final[Mapping[int, Code]] = MappingProxyType({
    1001: Code(400, "A required field is missing.", "The message of the error names it.", _CALL),
    1002: Code(
        400,
        "A phone number is not in E.164 form.",
        "It has spaces, brackets or dashes, or no country.",
        "Write + and digits only, as in +14155550142. linqbot checks this before it sends (R7).",
    ),
    1003: Code(
        400,
        "The body is not valid JSON, or not called application/json.",
        "Something between the client and Linq changed it, or it was written by hand.",
        "With linqbot's client this does not happen; with curl, add -H 'content-type: application/json'.",
    ),
    1004: Code(400, "The parts of a message do not go together.", "One of the rules R19 to R50 is broken.", _CALL),
    1005: Code(
        400,
        "A value cannot be: a wrong type, an unknown name, out of range, or too late to be changed.",
        "Also: a link in the first message of a new chat (R52), an edit after 15 minutes (R77).",
        _CALL,
    ),
    1006: Code(
        409,
        "The chat cannot do this as it is.",
        "Names, icons and participants can be changed in groups only, and a group keeps at least three people.",
        "Ask event.chat.is_group first. Repeating the call does not help.",
    ),
    1007: Code(
        429,
        "Too many calls.",
        "30 messages in 60 s from one line to one person; 100 a day in a sandbox; a contact card per chat in 5 minutes.",
        "In a handler nothing: linqbot keeps the pace and defers the turn. Elsewhere wait for Retry-After seconds.",
    ),
    2001: Code(
        404,
        "There is no such chat, or other thing, for your account.",
        "The id is wrong, was deleted, or belongs to another account: Linq does not tell these apart.",
        "Check the id, and that LINQ_API_V3_API_KEY is of the account the chat belongs to.",
    ),
    2002: Code(
        404,
        "There is no such message for your account.",
        "The id is wrong, or the message was deleted or has expired; short-lived ones do so within a day.",
        "Keep what you need of a message when it comes.",
    ),
    2003: Code(
        404,
        "There is no such attachment for your account.",
        "It was deleted or has expired, or a link of somebody else's files was given as yours.",
        "Upload the file again and send the new id.",
    ),
    2004: Code(
        401,
        "The API token is missing or not valid.",
        "It was mistyped, revoked, or is for another service.",
        "Set LINQ_API_V3_API_KEY to the token from your Linq dashboard. Turns wait for it meanwhile, deferred.",
    ),
    2005: Code(
        403,
        "Your account may not do this.",
        "The line in `from` is not yours, or a feature or payment provider is not connected to the account.",
        "See your lines with client.phone_numbers.list(); for a feature, ask Linq.",
    ),
    2008: Code(
        403,
        "In a sandbox a person must write first.",
        "A sandbox account may answer people, and not begin with them.",
        "Text the line from that phone once, or ask Linq for a production account.",
    ),
    2011: Code(
        None,
        "A chat's background could not be changed.",
        "It comes with chat.background_update_failed; Linq does not say more.",
        "Try another background; photos must be https addresses of a JPEG, PNG or HEIC image.",
    ),
    2012: Code(
        404,
        "The line has no active contact card.",
        "A card is shared that was never set up, or whose setup did not complete.",
        "Create it first: client.contact_card.create(…).",
    ),
    2014: Code(
        409,
        "The line has an active contact card already.",
        "create is for the first card only.",
        "Change it with client.contact_card.update(…).",
    ),
    2015: Code(
        409,
        "No line of yours can send this.",
        "All are flagged, excluded, or of another kind than was asked for.",
        "Look at client.phone_numbers.list(), and wait until a line has recovered, or ask Linq.",
    ),
    2016: Code(
        409,
        "A location can be asked for in direct chats only.",
        "The chat is a group.",
        "Ask in the direct chat with that person.",
    ),
    2017: Code(
        409,
        "A location request needs iMessage.",
        "The chat is SMS or RCS.",
        "Ask event.service first, and ask for the place in words otherwise.",
    ),
    2018: Code(
        409,
        "An app card needs iMessage.",
        "The chat is SMS or RCS, or preferred_service asks for one of them.",
        "Ask event.service first, and send a link instead.",
    ),
    2022: Code(
        500,
        "Setting the contact card up did not complete.",
        "The phone network did not take it in time.",
        "Make the same call again; it continues.",
    ),
    2023: Code(
        409,
        "A mention needs a group.",
        "The chat is a direct one.",
        "Leave the mention out there; event.chat.is_group tells.",
    ),
    2024: Code(
        403,
        "The person has opted out of messages from you.",
        "They wrote STOP or the like in a direct chat. It holds for all your lines.",
        "Do not write to them. Whatever else they write opts them in again; linqbot ends a reply quietly, once.",
    ),
    2026: Code(
        403,
        "You have blocked this handle.",
        "client.blocked_handles has it.",
        "Unblock it, if you mean to write: client.blocked_handles.unblock(…).",
    ),
    2027: Code(
        403,
        "Your line cannot send at present.",
        "Linq holds it ineligible for a time, as when it is flagged. Reading still works.",
        "Look at its status with client.phone_numbers.list(), and wait or ask Linq.",
    ),
    2028: Code(
        400,
        "An App Clip needs iMessage.",
        "preferred_service asks for SMS or RCS.",
        "Leave preferred_service out, or send a link instead.",
    ),
    3006: Code(500, "Something failed inside Linq.", "It is not your call's fault, as far as Linq can tell.", _LATER),
    3007: Code(None, "A change failed inside Linq.", "It comes with a webhook such as chat.group_name_update_failed.", _LATER),
    4001: Code(None, "The message could not be delivered.", "Linq gives no more precise reason.", _FAILED),
    4002: Code(None, "A message could not be delivered.", _NOT_PUBLISHED, _FAILED),
    4004: Code(
        503,
        "The phone network cannot do this now.",
        "RCS is not enabled on the line, or a contact card was written too often.",
        "Wait some minutes; for RCS, ask Linq to enable it on the line.",
    ),
    4005: Code(
        None,
        "The person's phone cannot show this kind of message.",
        "It comes with message.failed, as for media a carrier does not take.",
        "Send it as text or as a link.",
    ),
    4006: Code(None, "A message could not be delivered.", _NOT_PUBLISHED, _FAILED),
    4007: Code(None, "A message could not be delivered.", _NOT_PUBLISHED, _FAILED),
    4008: Code(None, "A message could not be delivered.", _NOT_PUBLISHED, _FAILED),
    4009: Code(
        503,
        "The line has no RCS account.",
        "RCS was never set up on it.",
        "Ask Linq to enable it, or leave the check out.",
    ),
    4010: Code(
        503,
        "Whether a handle has this service could not be found out.",
        "The check could not run.",
        "Try again later; sending without preferred_service needs no check.",
    ),
    5002: Code(
        None,
        "The background's image could not be used.",
        "It comes with chat.background_update_failed.",
        "Give the https address of a JPEG, PNG or HEIC image that needs no login.",
    ),
    5006: Code(
        400,
        "The address does not lead to an image.",
        "Its content was looked at, not its name.",
        "Open it in a private browser window: a login page or an error page is no image.",
    ),
    5007: Code(
        400,
        "The address could not be fetched.",
        "It is not public, answers an error, is slow, or the file is over 10 MB.",
        "Make it public, or upload the file: client.attachments takes up to 100 MB.",
    ),
})  # fmt: skip


def page(code: int) -> str:
    """The address of Linq's page about a code."""
    return f"https://docs.linqapp.com/error/codes/{str(code)[0]}xxx/{code}/"
