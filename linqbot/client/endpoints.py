"""Every endpoint of Linq's API in one table: what a method of the client is on the wire, and how safe it is to repeat.

Method, path, safety and the place of the idempotency key stand here and nowhere else; the modules per noun say what
goes in and what comes back. An endpoint that no method covers yet can be called too: `client.run(prepare(…))`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from linqbot.client.call import Call, KeyPlace, Safety
from linqbot.errors import RuleBroken


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table.

    Attributes:
        name: `noun.verb`, as the official Python SDK calls it.
        path: With `{names}` for what `prepare` fills in.
        safety: What may be done after a lost answer, see `Safety`.
        key_in: Where Linq reads an idempotency key; empty when it takes none.
        once_for: Body field and value that turn the call into a `once` one.
        accept: The type of answer to ask for, where it is not plain JSON.
    """

    name: str
    method: str
    path: str
    safety: Safety
    key_in: tuple[KeyPlace, ...] = ()
    once_for: tuple[str, str] | None = None
    accept: str = ""

    @property
    def noun(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def verb(self) -> str:
        return self.name.rpartition(".")[2]


_MESSAGE: tuple[KeyPlace, ...] = ("message",)
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
    Endpoint("chats.create", "POST", "/v3/chats", "keyed", _MESSAGE),
    Endpoint("chats.list_chats", "GET", "/v3/chats", "read"),
    Endpoint("chats.retrieve", "GET", _CHAT, "read"),
    Endpoint("chats.update", "PUT", _CHAT, "natural"),
    Endpoint("chats.leave_chat", "POST", _CHAT + "/leave", "natural"),
    Endpoint("chats.mark_as_read", "POST", _CHAT + "/read", "hint"),
    Endpoint("chats.send_voicememo", "POST", _CHAT + "/voicememo", "once"),
    Endpoint("chats.share_contact_card", "POST", _CHAT + "/share_contact_card", "once"),
    Endpoint("chats.participants.add", "POST", _CHAT + "/participants", "natural"),
    Endpoint("chats.participants.remove", "DELETE", _CHAT + "/participants", "natural"),
    Endpoint("chats.typing.start", "POST", _CHAT + "/typing", "hint"),
    Endpoint("chats.typing.stop", "DELETE", _CHAT + "/typing", "hint"),
    Endpoint("chats.messages.list", "GET", _CHAT + "/messages", "read"),
    Endpoint("chats.messages.send", "POST", _CHAT + "/messages", "keyed", _MESSAGE),
    Endpoint("chats.location.retrieve", "GET", _CHAT + "/location", "read", accept="application/geo+json"),
    Endpoint("chats.location.request", "POST", _CHAT + "/location/request", "once"),
    Endpoint("chats.location.stop", "DELETE", _CHAT + "/location", "natural"),
    Endpoint("chats.polls.create", "POST", _CHAT + "/polls", "keyed", ("poll",)),
    Endpoint("chats.background.set", "POST", _CHAT + "/background", "natural"),
    Endpoint("chats.background.remove", "DELETE", _CHAT + "/background", "natural"),
    Endpoint("messages.create", "POST", "/v3/messages", "keyed", ("message", "header")),
    Endpoint("messages.retrieve", "GET", _SENT, "read"),
    Endpoint("messages.update", "PATCH", _SENT, "natural"),
    Endpoint("messages.delete", "DELETE", _SENT, "natural"),
    # Tapbacks replace each other, stickers stack: a second sticker is a second image on somebody's screen.
    Endpoint("messages.add_reaction", "POST", _SENT + "/reactions", "natural", once_for=("type", "sticker")),
    Endpoint("messages.update_sticker_placement", "PATCH", _SENT + "/reactions/{reaction_id}", "natural"),
    Endpoint("messages.list_messages_thread", "GET", _SENT + "/thread", "read"),
    Endpoint("messages.update_app_card", "POST", _SENT + "/update", "once"),
    Endpoint("messages.poll.retrieve", "GET", _SENT + "/poll", "read"),
    Endpoint("messages.poll.add_options", "POST", _SENT + "/poll/options", "once"),
    Endpoint("messages.poll.vote", "POST", _SENT + "/poll/votes", "natural"),
    Endpoint("attachments.create", "POST", "/v3/attachments", "read"),  # an orphan costs nothing
    Endpoint("attachments.retrieve", "GET", _ATTACHMENT, "read"),
    Endpoint("attachments.delete", "DELETE", _ATTACHMENT, "natural"),
    Endpoint("phone_numbers.list", "GET", "/v3/phone_numbers", "read"),
    Endpoint("phone_numbers.update", "PUT", "/v3/phone_numbers/{phone_number_id}", "natural"),
    Endpoint("phonenumbers.list", "GET", "/v3/phonenumbers", "read"),
    Endpoint("available_number.retrieve", "GET", "/v3/available_number", "read"),
    # A second start answers with the audit that is running.
    Endpoint("phone_numbers.start_reputation_audit", "POST", _LINE + "/reputation_audit", "natural"),
    Endpoint("phone_numbers.get_reputation_audit", "GET", _LINE + "/reputation_audit/{audit_id}", "read"),
    Endpoint("capability.check_i_message", "POST", "/v3/capability/check_imessage", "read"),
    Endpoint("capability.check_RCS", "POST", "/v3/capability/check_rcs", "read"),
    # Repeating a creation is what Linq asks for after 500/2022; when it had worked, the answer is 409/2014.
    Endpoint("contact_card.create", "POST", "/v3/contact_card", "natural"),
    Endpoint("contact_card.retrieve", "GET", "/v3/contact_card", "read"),
    Endpoint("contact_card.update", "PATCH", "/v3/contact_card", "natural"),
    Endpoint("blocked_handles.list", "GET", "/v3/blocked_handles", "read"),
    Endpoint("blocked_handles.block", "POST", "/v3/blocked_handles", "natural"),
    Endpoint("blocked_handles.unblock", "DELETE", "/v3/blocked_handles", "natural"),
    Endpoint("experiences.list", "GET", "/v3/experiences", "read"),
    Endpoint("experiences.retrieve", "GET", "/v3/experiences/{experience}", "read"),
    Endpoint("webhook_events.list", "GET", "/v3/webhook-events", "read"),
    # `once`: the secret is in the first answer only, and a repetition would be refused for the same target_url.
    Endpoint("webhook_subscriptions.create", "POST", "/v3/webhook-subscriptions", "once"),
    Endpoint("webhook_subscriptions.list", "GET", "/v3/webhook-subscriptions", "read"),
    Endpoint("webhook_subscriptions.retrieve", "GET", _SUBSCRIPTION, "read"),
    Endpoint("webhook_subscriptions.update", "PUT", _SUBSCRIPTION, "natural"),
    Endpoint("webhook_subscriptions.delete", "DELETE", _SUBSCRIPTION, "natural"),
    Endpoint("payment_requests.create", "POST", "/v3/payment_requests", "keyed", ("header",)),
    Endpoint("payment_requests.list", "GET", "/v3/payment_requests", "read"),
    Endpoint("payment_requests.retrieve", "GET", _REQUEST, "read"),
    Endpoint("payment_requests.cancel", "POST", _REQUEST + "/cancel", "natural"),
    Endpoint("payments.create", "POST", "/v3/payments", "keyed", ("header",)),
    Endpoint("payments.retrieve", "GET", _PAYMENT, "read"),
    Endpoint("payments.cancel", "POST", _PAYMENT + "/cancel", "natural"),
    Endpoint("payments.credentials", "GET", _PAYMENT + "/credentials", "read"),
    Endpoint("payment_providers.retrieve", "GET", _PROVIDER, "read"),
    # Both start a new connection with every call; each sends its person somewhere, or a code.
    Endpoint("payment_providers.connect", "POST", _PROVIDER + "/connect", "once"),
    Endpoint("payment_handles.connect", "POST", _PAYER + "/connect", "once"),
    Endpoint("payment_handles.connection", "GET", _PAYER + "/connection", "read"),
    Endpoint("payment_handles.revoke", "DELETE", _PAYER + "/connection", "natural"),
    Endpoint("payment_handles.verify", "POST", _PAYER + "/verify", "once"),
    Endpoint("v2.list_chats", "GET", "/v2/chats", "read"),
)

ENDPOINTS: Mapping[str, Endpoint] = {endpoint.name: endpoint for endpoint in _TABLE}

_NOTHING: Mapping[str, str] = {}
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
"""What needs no escaping, as UUIDs do."""


def prepare(
    name: str,
    *,
    path: Mapping[str, str] = _NOTHING,
    body: Mapping[str, Any] | None = None,
    query: tuple[tuple[str, str], ...] = (),
    headers: Mapping[str, str] = _NOTHING,
) -> Call:
    """Build the call of an endpoint.

    Args:
        name: `noun.verb`, a key of `ENDPOINTS`.
        path: What fills the `{names}` of its path; escaped here.
    Raises:
        RuleBroken: a path value is empty, or would climb out of its place (R5).
    """
    endpoint = ENDPOINTS[name]
    safety = endpoint.safety
    if endpoint.once_for and body and body.get(endpoint.once_for[0]) == endpoint.once_for[1]:
        safety = "once"
    return Call(
        noun=endpoint.noun,
        verb=endpoint.verb,
        method=endpoint.method,
        path=_filled(endpoint.path, path) if path else endpoint.path,
        safety=safety,
        body=body,
        query=query,
        headers={"accept": endpoint.accept, **headers} if endpoint.accept else headers,
        key_in=endpoint.key_in,
    )


def _filled(template: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        # Whoever normalises a URL would take `..` for a step up, to another endpoint.
        if not isinstance(value, str) or value in {"", ".", ".."}:
            raise RuleBroken(f"{name} is not an id. Give the id Linq answered with.", rule="R5", status=400, code=1005)
        escaped = value if _PLAIN.fullmatch(value) else quote(value, safe="")
        template = template.replace("{" + name + "}", escaped, 1)
    return template
