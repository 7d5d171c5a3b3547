"""The table of Linq's API endpoints: name, method, path, safety class, place of the idempotency key.

The client, the rules and the emulator read this table. The modules in `client/resources/` add arguments and return
types. An endpoint without a method can be called too: `client.run(prepare(…))`, see `client/call.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from linqbot.linq.types.message import TapbackName

Safety: TypeAlias = Literal["keyed", "natural", "once", "hint", "read"]
"""The safety class of a call: what may be done after a crash or a lost response.

`keyed`: repeat with the same idempotency key. `natural` (idempotent): repeat, the end state is the same. `once`: never
repeat blindly, a person must look. `hint` (best effort): give up. `read`: repeat, nothing was changed.
"""

KeyPlace: TypeAlias = Literal["message", "poll", "header"]
"""The place of an idempotency key: the field `idempotency_key` of this object in the body, or the header."""


class Endpoint(NamedTuple):
    """One row of the table.

    Attributes:
        name: `noun.verb`, the resource and the method as in the official Python SDK.
        path: With `{names}` that `prepare` fills in.
        safety: The safety class: what may be done after a crash or a lost response, see `Safety`.
        key_in: Every place where Linq reads the idempotency key; empty if Linq accepts none.
        natural_for: Body fields, each with the values with which the call is `natural`. With any other value it is `once`:
            the effect of a name that linqbot does not know may be another one each time.
        accept: The `Accept` header to send, if the response is not plain JSON.
        needs: A field without which a 2xx response is not Linq's: `chat.id` must be a string, `chats[]` a list, or null
            for an empty one. Empty if any JSON object is accepted; None if Linq responds without a body.
    """

    name: str
    method: str
    path: str
    safety: Safety
    key_in: tuple[KeyPlace, ...] = ()
    natural_for: tuple[tuple[str, frozenset[str]], ...] = ()
    accept: str = ""
    needs: str | None = ""

    def lacks(self, data: Any) -> str:
        """Return the thing that the decoded body of a 2xx response lacks; empty if nothing is missing."""
        if self.needs is None:
            return ""
        if not isinstance(data, dict):
            return "a JSON object"
        place = self.needs or "message.id"
        found: Any = data
        for name in place.removesuffix("[]").split("."):
            found = found.get(name, ...) if isinstance(found, dict) else ...
        if not self.needs:  # any object, but not one that names a message as Linq never does
            fits = found is ... or isinstance(found, str)
        elif place.endswith("[]"):  # some JSON encoders, such as Go's, write null for an empty list
            fits = found is None or isinstance(found, list)
        else:
            fits = isinstance(found, str) and found != ""
        return "" if fits else place


_MESSAGE: tuple[KeyPlace, ...] = ("message",)
_ADDED_OR_REMOVED = ("operation", frozenset({"add", "remove"}))
_TAPBACKS = ("type", frozenset({*get_args(TapbackName), "custom"}))
_GEOJSON = "application/geo+json"
_CHAT = "/v3/chats/{chat_id}"
_SENT = "/v3/messages/{message_id}"
_ATTACHMENT = "/v3/attachments/{attachment_id}"
_LINE = "/v3/phone_numbers/{phone_number}"
_SUBSCRIPTION = "/v3/webhook-subscriptions/{subscription_id}"
_REQUEST = "/v3/payment_requests/{payment_request_id}"
_PAYMENT = "/v3/payments/{payment_id}"
_PROVIDER = "/v3/payments/providers/{provider}"
_PAYER = "/v3/payments/handles/{handle}"

_TABLE = (
    Endpoint("chats.create", "POST", "/v3/chats", "keyed", _MESSAGE, needs="chat.message.id"),
    Endpoint("chats.list_chats", "GET", "/v3/chats", "read", needs="chats[]"),
    Endpoint("chats.retrieve", "GET", _CHAT, "read", needs="id"),
    Endpoint("chats.update", "PUT", _CHAT, "natural"),
    Endpoint("chats.leave_chat", "POST", _CHAT + "/leave", "natural"),
    Endpoint("chats.mark_as_read", "POST", _CHAT + "/read", "hint", needs=None),
    Endpoint("chats.send_voicememo", "POST", _CHAT + "/voicememo", "once", needs="voice_memo.id"),
    Endpoint("chats.share_contact_card", "POST", _CHAT + "/share_contact_card", "once", needs=None),
    Endpoint("chats.participants.add", "POST", _CHAT + "/participants", "natural"),
    Endpoint("chats.participants.remove", "DELETE", _CHAT + "/participants", "natural"),
    Endpoint("chats.typing.start", "POST", _CHAT + "/typing", "hint", needs=None),
    Endpoint("chats.typing.stop", "DELETE", _CHAT + "/typing", "hint", needs=None),
    Endpoint("chats.messages.list", "GET", _CHAT + "/messages", "read", needs="messages[]"),
    Endpoint("chats.messages.send", "POST", _CHAT + "/messages", "keyed", _MESSAGE, needs="message.id"),
    Endpoint("chats.location.retrieve", "GET", _CHAT + "/location", "read", accept=_GEOJSON, needs="data.features[]"),
    Endpoint("chats.location.request", "POST", _CHAT + "/location/request", "once"),
    Endpoint("chats.location.stop", "DELETE", _CHAT + "/location", "natural"),
    Endpoint("chats.polls.create", "POST", _CHAT + "/polls", "keyed", ("poll",), needs="message_id"),
    Endpoint("chats.background.set", "POST", _CHAT + "/background", "natural", needs=None),
    Endpoint("chats.background.remove", "DELETE", _CHAT + "/background", "natural", needs=None),
    Endpoint("messages.create", "POST", "/v3/messages", "keyed", ("message", "header"), needs="message.id"),
    Endpoint("messages.retrieve", "GET", _SENT, "read", needs="id"),
    Endpoint("messages.update", "PATCH", _SENT, "natural", needs="id"),
    Endpoint("messages.delete", "DELETE", _SENT, "natural", needs=None),
    # Tapbacks replace each other. Stickers stack: a second sticker is a second image on the recipient's screen.
    Endpoint(
        "messages.add_reaction", "POST", _SENT + "/reactions", "natural", natural_for=(_ADDED_OR_REMOVED, _TAPBACKS)
    ),
    Endpoint("messages.update_sticker_placement", "PATCH", _SENT + "/reactions/{reaction_id}", "natural"),
    Endpoint("messages.list_messages_thread", "GET", _SENT + "/thread", "read", needs="messages[]"),
    Endpoint("messages.update_app_card", "POST", _SENT + "/update", "once", needs="message.id"),
    Endpoint("messages.poll.retrieve", "GET", _SENT + "/poll", "read", needs="message_id"),
    Endpoint("messages.poll.add_options", "POST", _SENT + "/poll/options", "once", needs="message_id"),
    Endpoint(
        "messages.poll.vote",
        "POST",
        _SENT + "/poll/votes",
        "natural",
        natural_for=(_ADDED_OR_REMOVED,),
        needs="message_id",
    ),
    # `read`, because an attachment that no message shows has no effect.
    Endpoint("attachments.create", "POST", "/v3/attachments", "read", needs="attachment_id"),
    Endpoint("attachments.retrieve", "GET", _ATTACHMENT, "read", needs="id"),
    Endpoint("attachments.delete", "DELETE", _ATTACHMENT, "natural", needs=None),
    Endpoint("phone_numbers.list", "GET", "/v3/phone_numbers", "read", needs="phone_numbers[]"),
    Endpoint("phone_numbers.update", "PUT", "/v3/phone_numbers/{phone_number_id}", "natural", needs="id"),
    Endpoint("phonenumbers.list", "GET", "/v3/phonenumbers", "read", needs="phone_numbers[]"),
    Endpoint("available_number.retrieve", "GET", "/v3/available_number", "read", needs="phone_number"),
    # While an audit is running, Linq returns that audit instead of starting a second one.
    Endpoint("phone_numbers.start_reputation_audit", "POST", _LINE + "/reputation_audit", "natural", needs="audit_id"),
    Endpoint(
        "phone_numbers.get_reputation_audit", "GET", _LINE + "/reputation_audit/{audit_id}", "read", needs="audit_id"
    ),
    Endpoint("capability.check_i_message", "POST", "/v3/capability/check_imessage", "read", needs="address"),
    Endpoint("capability.check_RCS", "POST", "/v3/capability/check_rcs", "read", needs="address"),
    # After 500/2022 Linq asks to repeat the creation. If the first one succeeded after all, Linq responds 409/2014.
    Endpoint("contact_card.create", "POST", "/v3/contact_card", "natural", needs="phone_number"),
    Endpoint("contact_card.retrieve", "GET", "/v3/contact_card", "read", needs="contact_cards[]"),
    Endpoint("contact_card.update", "PATCH", "/v3/contact_card", "natural", needs="phone_number"),
    Endpoint("blocked_handles.list", "GET", "/v3/blocked_handles", "read", needs="blocked_handles[]"),
    Endpoint("blocked_handles.block", "POST", "/v3/blocked_handles", "natural", needs="blocked_handle.handle"),
    Endpoint("blocked_handles.unblock", "DELETE", "/v3/blocked_handles", "natural", needs=None),
    # Linq's own types say that the list may be absent, such as for an account without experiences.
    Endpoint("experiences.list", "GET", "/v3/experiences", "read"),
    Endpoint("experiences.retrieve", "GET", "/v3/experiences/{experience}", "read"),
    Endpoint("webhook_events.list", "GET", "/v3/webhook-events", "read", needs="events[]"),
    # `once`, because only the first response has the secret, and a retry is refused: the target_url is already in use.
    Endpoint("webhook_subscriptions.create", "POST", "/v3/webhook-subscriptions", "once", needs="id"),
    Endpoint("webhook_subscriptions.list", "GET", "/v3/webhook-subscriptions", "read", needs="subscriptions[]"),
    Endpoint("webhook_subscriptions.retrieve", "GET", _SUBSCRIPTION, "read", needs="id"),
    Endpoint("webhook_subscriptions.update", "PUT", _SUBSCRIPTION, "natural", needs="id"),
    Endpoint("webhook_subscriptions.delete", "DELETE", _SUBSCRIPTION, "natural", needs=None),
    Endpoint("payment_requests.create", "POST", "/v3/payment_requests", "keyed", ("header",), needs="id"),
    Endpoint("payment_requests.list", "GET", "/v3/payment_requests", "read", needs="data[]"),
    Endpoint("payment_requests.retrieve", "GET", _REQUEST, "read", needs="id"),
    Endpoint("payment_requests.cancel", "POST", _REQUEST + "/cancel", "natural", needs="id"),
    Endpoint("payments.create", "POST", "/v3/payments", "keyed", ("header",)),
    Endpoint("payments.retrieve", "GET", _PAYMENT, "read"),
    Endpoint("payments.cancel", "POST", _PAYMENT + "/cancel", "natural"),
    Endpoint("payments.credentials", "GET", _PAYMENT + "/credentials", "read"),
    Endpoint("payment_providers.retrieve", "GET", _PROVIDER, "read"),
    # Each call starts a new connection: the first opens a page for you, the second sends the customer a code.
    Endpoint("payment_providers.connect", "POST", _PROVIDER + "/connect", "once"),
    Endpoint("payment_handles.connect", "POST", _PAYER + "/connect", "once"),
    Endpoint("payment_handles.connection", "GET", _PAYER + "/connection", "read"),
    Endpoint("payment_handles.revoke", "DELETE", _PAYER + "/connection", "natural"),
    Endpoint("payment_handles.verify", "POST", _PAYER + "/verify", "once"),
    Endpoint("v2.list_chats", "GET", "/v2/chats", "read", needs="data[]"),
)

ENDPOINTS: Mapping[str, Endpoint] = {endpoint.name: endpoint for endpoint in _TABLE}
