"""`linqbot trigger`: send a signed event of any type to a bot. The events come from `linqbot_dev.testing.samples`."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Final

import click
import httpx

from linqbot.cli.deliveries import advice_on
from linqbot.cli.failure import NotAccepted
from linqbot.cli.kit import Arg, Opt, Result, command_of
from linqbot.errors import SecretMissing
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.events.proactive import SCHEDULE_TYPE
from linqbot.linq.signatures import Secret
from linqbot.server.app import WEBHOOK_PATH
from linqbot.settings import from_env
from linqbot_dev.testing import samples

TIMEOUT_S = 30.0
SCHEDULE = "schedule"


def trigger(
    event_type: Annotated[str | None, Arg("TYPE")],
    name: str | None,
    *,
    lists: Annotated[bool, Opt("List all event types.", "--list")] = False,
    url: Annotated[
        str | None, Opt("Address of the webhook. Default: the bot served on this machine at LINQBOT_PORT.")
    ] = None,
    text: Annotated[str | None, Opt("Text of the message.", "--text -t")] = None,
    sender: Annotated[str | None, Opt("The person whom the event is from or about.", "--from", "HANDLE")] = None,
    line: Annotated[str | None, Opt("The line that receives the event.", "--to", "NUMBER")] = None,
    chat: Annotated[str | None, Opt("The chat of the event.", metavar="ID")] = None,
    sets: Annotated[
        tuple[str, ...], Opt("Set any field, such as data.service=SMS; repeatable.", "--set", "PATH=VALUE")
    ] = (),
    version: Annotated[str, Opt("Payload version.", type=click.Choice(samples.VERSIONS))] = samples.VERSIONS[0],
) -> Result:
    """Send an event of TYPE, such as message.received, to a bot, signed with the secret that `serve` uses.

    Every event has a new id and the current time. Its chat is made up, unless --chat names one: if the bot answers
    into a made-up chat, Linq replies that there is no such chat.

    `linqbot trigger schedule NAME` runs a schedule of the bot now. Its next due time stays as it is.
    """
    if lists:
        return Result(list(map(_described, EVENT_TYPES)))
    fields = {"text": text, "sender": sender, "line": line, "chat": chat, "version": version}
    if event_type is None:
        raise click.UsageError("Which type? See: linqbot trigger --list")
    if event_type == SCHEDULE:
        return _sent(SCHEDULE_TYPE, _due_now(name, fields, sets), url)
    if event_type.endswith(".py"):
        raise click.UsageError(
            "linqbot trigger takes no file: it sends to the bot that is served at --url. Begin with TYPE."
        )
    if name is not None:
        raise click.UsageError(f"Got an unexpected argument ({name}). Only `trigger schedule NAME` takes a name.")
    if event_type not in EVENT_TYPES:
        raise click.UsageError(f"There is no event type {event_type}. {advice_on(event_type)}")
    changes = dict(_setting(each) for each in sets)
    return _sent(event_type, _made(event_type, fields, changes), url)


def _sent(event_type: str, event: dict[str, Any], url: str | None) -> Result:
    answer = _send(event, _url(url), _secret())
    status, error = answer["status"], answer["error"]
    advice = answer["reason"] or _ADVICE.get(status, "The bot's log gives the reason.")
    failure = None if 200 <= (status or 0) < 300 else NotAccepted(f"The event was not accepted. {advice}")
    result = status or f"no answer ({error})"
    return Result(answer, f"{event_type} {answer['event_id']}: {result} in {answer['ms']} ms", failure=failure)


def _due_now(name: str | None, fields: dict[str, Any], sets: tuple[str, ...]) -> dict[str, Any]:
    if not name:
        raise click.UsageError("Which schedule? Its name is that of its function: linqbot trigger schedule NAME")
    if sets or any(fields[name] is not None for name in ("text", "sender", "line", "chat")):
        raise click.UsageError("A schedule has no message, person, line or chat, so only its NAME can be given.")
    return samples.schedule(name)


def _made(event_type: str, fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    try:
        return samples.event(event_type, changes=changes, **fields)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from error


def _send(event: dict[str, Any], url: httpx.URL, secret: str) -> dict[str, Any]:
    """Return the answer: its status, or the type of the error instead; and the reason of a refusal, if the bot gave one."""
    body = json.dumps(event, ensure_ascii=False).encode()
    headers = samples.signed(body, event, secret=secret)
    status, error, reason, started = None, None, None, time.perf_counter()
    try:
        # Not through the environment's proxies: the bot is usually on this machine.
        response = httpx.post(url, content=body, headers=headers, timeout=TIMEOUT_S, trust_env=False)
        status = response.status_code
        reason = response.text if status == 422 else None
    except httpx.TransportError as failed:
        error = type(failed).__name__
    ms = round((time.perf_counter() - started) * 1000)
    return {"event_id": str(event["event_id"]), "status": status, "ms": ms, "error": error, "reason": reason}


_ADVICE: Final[dict[int | None, str]] = {
    None: "There was no response. Is the bot served there? Start it with: linqbot serve bot.py; or give --url.",
    401: "The bot has another secret. Set LINQ_WEBHOOK_SECRET to the bot's secret.",
    404: "There is no webhook at this address. It is usually /webhooks/linq.",
    503: "The bot cannot accept it now. Its log gives the reason.",
}


def _described(event_type: str) -> dict[str, str]:
    about = (EVENT_TYPES[event_type].__doc__ or "").partition("\n")[0]
    return {"type": event_type, "class": EVENT_TYPES[event_type].__name__, "what": about}


def _setting(given: str) -> tuple[str, Any]:
    path, equals, value = given.partition("=")
    if not (equals and path):
        raise click.UsageError(f"--set takes PATH=VALUE, such as data.service=SMS, not {given!r}.")
    try:
        return path, json.loads(value)
    except ValueError:
        return path, value


def _url(text: str | None) -> httpx.URL:
    text = text or f"http://127.0.0.1:{from_env().port}{WEBHOOK_PATH}"
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise click.UsageError(
            f"--url must be an http(s) address, such as http://127.0.0.1:8000/webhooks/linq, not {text!r}."
        )
    return url


def _secret() -> str:
    """Return the first secret of the settings. During a rotation there are several, and the bot accepts all of them."""
    secrets = from_env().secrets()
    if not secrets:
        raise SecretMissing(
            "LINQ_WEBHOOK_SECRET is not set, so the event could not be signed. "
            "Set it to the secret that the bot is served with. To try a bot, give both the same base64 text."
        )
    Secret.parse(secrets[0])
    return secrets[0]


command: Final = command_of(trigger, "trigger")
