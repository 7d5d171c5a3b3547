"""The text of Linq's rules R1 to R96, for `linqbot explain`. The other modules of this package check them.

If Linq's documentation names no status or code for a rule, the one here is the emulator's choice, marked with `~`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

_API = "https://docs.linqapp.com/api/resources/"
_SEND = _API + "chats/subresources/messages/methods/send"
_UPDATE = _API + "messages/methods/update"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of Linq's API.

    Attributes:
        says: The rule, as a sentence.
        answer: The response to a call that breaks the rule, such as `400/1004`; `~` marks our interpretation. Empty if
            no call is refused.
        source: The page of Linq's documentation that states the rule, or the nearest one.
    """

    says: str
    answer: str
    source: str


def _rules(source: str, *rows: tuple[str, str, str]) -> dict[str, Rule]:
    return {name: Rule(says, answer, source) for name, answer, says in rows}


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    _rules(
        "https://docs.linqapp.com",
        ("R1", "401/2004", "Every call carries Authorization: Bearer with the account's token."),
        ("R2", "400/1003", "A body is JSON, and Content-Type says application/json."),
        ("R3", "400/1001", "Required fields must be there."),
        ("R4", "400/1005", "A value has the right type, a name Linq knows, and lies in its range."),
        ("R5", "400/1005~", "Ids in a path are UUIDs."),
        ("R6", "404/2001", "An unknown id, and one of another account, is not found: 2001 chat, 2002 message, 2003 attachment."),
        ("R7", "400/1002", "A phone number is E.164: + and up to 15 digits, no spaces, dashes or brackets."),
        ("R8", "400/1002~", "A handle is a phone number in E.164 or an e-mail address."),
        ("R9", "400/1005~", "The limit of a list is 1 to 100; 20 when it is not given."),
        ("R10", "400/1005~", "A cursor is one that a list has returned. Its content is opaque."),
        ("R11", "", "Errors, and responses to actions, have a trace_id. Quote it when you contact Linq's support."),
    )
    | _rules(
        _API + "phone_numbers/methods/list",
        ("R12", "403/2005~", "from is a line of your account."),
        ("R13", "403/2027", "A line that cannot send now sends nothing, not even tapbacks; reading works."),
        ("R14", "409/2015", "A message without from needs a line of yours that can send."),
        ("R15", "403/2008", "In a sandbox a person must have written first."),
        ("R16", "400/1002", "exclude_from holds E.164 numbers, and leaves at least one line of yours."),
        ("R17", "503/2015~", "available_number takes the type RCS or iMessage, in any case, and there must be such a line."),
        ("R18", "400/1002", "forwarding_number must be given: E.164, or null or empty to clear it."),
    )
    | _rules(
        _SEND,
        ("R19", "400/1004~", "A message has either parts or an experience, never both and never neither."),
        ("R20", "400/1004~", "A message has 1 to 100 parts."),
        ("R21", "400/1004~", "At most 40 media parts have an external url; uploads do not count."),
        ("R22", "400/1004~", "Two text parts may not be adjacent; join them, or put media in between."),
        ("R23", "400/1004", "A link part is alone in its message."),
        ("R24", "400/1004~", "An app card is alone in its message."),
        ("R25", "400/1004~", "An App Clip is alone in its message; its value is https and a registered App Clip page."),
        ("R26", "400/1004~", "The URL of a link has at most 2048 characters."),
        ("R27", "400/1004~", "Text is not empty. It is sent verbatim: Markdown is not interpreted."),
        ("R28", "400/1004~", "Media has either a url or an attachment_id."),
        ("R29", "400/5007~", "The url of media is public https, at most 10 MB, and of a supported kind."),
        ("R30", "404/2003", "An attachment_id belongs to a file of yours that still exists."),
        ("R31", "", "Only an image may be a sticker; SMS and RCS show it as a picture."),
        ("R32", "400/1005", "preferred_service is iMessage (no fallback), RCS (else SMS) or SMS; without it Linq chooses."),
        ("R33", "400/1005~", "A message has one effect at most, a screen or a bubble effect, by a name of its type."),
        ("R34", "404/2002~", "reply_to names a message that exists; part_index counts from 0."),
        ("R35", "400/1004~", "An app card names team_id (10 capitals and digits), bundle_id without a colon, and name."),
        ("R36", "400/1004~", "An app card's layout has a caption, a subcaption, a trailing one of either, or an image."),
        ("R37", "400/1004~", "image_title and image_subtitle need an image_url."),
        ("R38", "400/5006~", "A layout's image_url is a reachable JPEG, PNG, HEIF or WebP."),
        ("R39", "400/1004~", "An app card's url is https of at most 2048 characters, or data: of at most 16384."),
        ("R40", "409/2018~", "An app card needs iMessage, in the chat and in preferred_service."),
        ("R41", "400/2028~", "An App Clip cannot be sent with preferred_service SMS or RCS."),
        ("R42", "400/1005~", "An experience has the action and fields that experiences.retrieve lists, one recipient, iMessage."),
        ("R43", "400/1004~", "A decoration has either a style or an animation."),
        ("R44", "400/1004~", "A range is two positions inside the text, counted in UTF-16 units: most emoji count two."),
        ("R45", "400/1004~", "Styles may overlap one another; an animation overlaps nothing."),
        ("R46", "400/1004~", "A sticker in the text has either Linq's own url or an attachment_id."),
        ("R47", "400/1004~", "A text has at most 100 stickers of at most 10 images."),
        ("R48", "400/1004~", "Stickers overlap nothing, split no character, and cannot be combined with a mention."),
        ("R49", "409/2023", "A mention needs a group."),
        ("R50", "400/1004~", "mention_range needs a mention; without it the whole text is one."),
    )
    | _rules(
        _API + "chats/methods/create",
        ("R51", "400/1001", "A new chat needs from, to with 1 to 31 people, and a message."),
        ("R52", "400/1005", "The first message of a new chat has no link and no web address in its text."),
        ("R53", "400/1005~", "The first message of a new chat has no effect and replies to nothing."),
        ("R54", "", "A call with the same from and the same people uses the existing chat, unless the group was changed."),
        ("R55", "", "messages.create may begin with a link; it cannot send a voice memo."),
        ("R56", "", "messages.create chooses the line: that of the existing chat, else the best one."),
        ("R57", "409/1006", "Only a group has a name and an icon. A webhook reports if the change succeeded."),
        ("R58", "409/1006~", "People can be added to a group of three or more, if they have the group's service."),
        ("R59", "409/1006~", "People can be removed from a group if at least three remain."),
        ("R60", "409/1006~", "An iMessage group of four or more, you included, can be left."),
        ("R61", "409/1006~", "In a chat that you left, every action is refused."),
        ("R62", "", "A participant who left or was removed remains in the list of handles, with status and left_at."),
        ("R63", "", "The typing indicator works on iMessage only, lasts 85 to 90 s, and ends when a message is sent."),
        ("R64", "404/2012", "A contact card must be active before it is shared."),
        ("R65", "429/1007~", "A contact card is shared once in 5 minutes per chat."),
        ("R66", "400/1005", "A background is a color with a variant or two shades, a dynamic style and variant, or a photo."),
        ("R67", "", "On SMS and RCS a background is accepted and ignored."),
        ("R68", "400/1005~", "A voice memo has either an https URL or an attachment_id, and is audio."),
    )
    | _rules(
        "https://docs.linqapp.com/channel/imessage/guides/chats/chat-health#opted-out",
        ("R69", "", "A person opts out with STOP, UNSUBSCRIBE, CANCEL, END or QUIT in capitals, or opt out in any case."),
        ("R70", "403/2024", "No line of the account can send to a person who opted out."),
        ("R71", "", "override_optout sends one message. It changes nothing else, and Linq keeps a record."),
        ("R72", "", "Any other message that the person sends later, in any chat, opts the person in again."),
        ("R73", "", "health_status shows OPTED_OUT only in the chat where the word was written: trust the 403."),
        ("R74", "403/2026", "You receive nothing from a handle that you blocked, and cannot send to it."),
        ("R75", "", "You can send to a group unless all its people are blocked."),
        ("R76", "400/1005~", "A blocked handle is a phone number, an e-mail, a short code of 3 to 8 digits, or a sender's name."),
    )
    | _rules(
        _UPDATE,
        ("R77", "409/1005~", "Your own text can be edited, five times, for 15 minutes."),
        ("R78", "", "Deleting a message removes it from the API only. It stays on the phones."),
        ("R79", "", "A thread is its first message and the replies, in order of time."),
    )
    | _rules(
        _API + "messages/methods/add_reaction",
        ("R80", "400/1005~", "A tapback is love, like, dislike, laugh, emphasize, question, custom with an emoji, or a sticker."),
        ("R81", "400/1005~", "A sticker tapback has one of emoji, url, attachment_id, and needs iMessage."),
        ("R82", "400/1005~", "A sticker cannot be removed."),
        ("R83", "400/1005~", "A placement has x and y from -1 to 1; Linq clamps its scale to 0.05 to 2.5."),
        ("R84", "400/1005~", "Only a sticker can be moved, and only if Linq keeps a reference to it (else 404)."),
    )
    | _rules(
        _API + "messages/methods/update_app_card",
        ("R85", "409/1005~", "An app card can be updated after its message.sent event, and only if you sent it."),
    )
    | _rules(
        _API + "chats/subresources/polls/methods/create",
        ("R86", "400/1005~", "A poll needs iMessage, a chat that exists, and two options with text; options are only added."),
        ("R87", "400/1005~", "On a zero-retention line, new poll options are sent together with all old ones, old ones first."),
        ("R88", "404/2001~", "A vote is for one option of the poll, added or removed."),
    )
    | _rules(
        _API + "chats/subresources/location/methods/request",
        ("R89", "409/2016", "A location is requested in a direct iMessage chat (else 2017), and not while one is shared."),
        ("R90", "404/2001~", "Stopping a location names the handle, which must be sharing."),
    )
    | _rules(
        _API + "attachments/methods/create",
        ("R91", "400/1005~", "An upload declares filename, type and size, at most 100 MB. All bytes are PUT within 15 minutes."),
        ("R92", "400/1005~", "FLAC, OGG and programs cannot be attached."),
        ("R93", "404/2003", "A deleted attachment is removed from messages too."),
    )
    | _rules(
        _API + "contact_card/methods/create",
        ("R94", "409/2014", "A contact card is created once, then updated; three such calls in 10 minutes per line."),
    )
    | _rules(
        _API + "webhook_subscriptions/methods/create",
        ("R95", "400/1005~", "A subscription's target_url is https and unique; its events are event types that Linq knows."),
    )
    | _rules(
        _API + "payment_requests/methods/create",
        ("R96", "400/1005~", "A payment needs a connected provider, at least 50 cents in usd, or a price; never both."),
    )
)  # fmt: skip
