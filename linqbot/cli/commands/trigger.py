"""`linqbot trigger`: any event of Linq's, signed, at a bot."""

from __future__ import annotations

import difflib
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
import httpx

from linqbot.cli import completions
from linqbot.cli.failure import NotAccepted
from linqbot.cli.output import json_option, print_table, progress_bar
from linqbot.errors import ConfigError
from linqbot.events.parse import EVENT_TYPES
from linqbot.server.app import WEBHOOK_PATH
from linqbot.settings import from_env
from linqbot.testing import samples
from linqbot.webhooks import Secret

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class WebhookReply:
    """What became of one event. `status` None: nobody answered, because of `error`."""

    event_id: str
    status: int | None
    ms: int
    error: str | None = None

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@click.command("trigger")
@click.argument("event_type", metavar="TYPE", required=False, shell_complete=completions.event_types)
@click.option("--list", "lists", is_flag=True, help="Show the types there are.")
@click.option("--url", help="Where to send it; else to the bot served on this machine, at LINQBOT_PORT.")
@click.option("--text", "-t", help="What is said in it.")
@click.option("--from", "sender", metavar="HANDLE", help="The person it is from, or about.")
@click.option("--to", "line", metavar="NUMBER", help="The line it is for.")
@click.option("--chat", metavar="ID", help="The chat it is in.")
@click.option("--set", "sets", multiple=True, metavar="PATH=VALUE", help="Any field, such as data.service=SMS.")
@click.option("--version", type=click.Choice(samples.VERSIONS), default=samples.VERSIONS[0], help="Payload version.")
@click.option("--count", "-n", default=1, show_default=True, type=click.IntRange(1), help="Send so many, one by one.")
@json_option
def command(
    *,
    event_type: str | None,
    lists: bool,
    url: str | None,
    sets: tuple[str, ...],
    count: int,
    as_json: bool,
    **told: Any,
) -> None:
    """Send an event of TYPE, such as message.received, to a bot, signed with the secret that `serve` would believe.

    Every event is a new one, with an id and a time of its own. The chat it tells of is made up: a bot that answers
    into it is told by Linq that there is no such chat, unless --chat names one.
    """
    if lists:
        print_table([_described(name) for name in EVENT_TYPES], as_json=as_json, empty="")
        return
    if event_type is None:
        raise click.UsageError("Which type? See: linqbot trigger --list")
    if event_type not in EVENT_TYPES:
        raise click.UsageError(f"There is no event type {event_type}. {_nearest(event_type)}")
    changes = dict(_setting(each) for each in sets)
    events = [_made(event_type, told, changes) for _ in range(count)]
    answers = _send_all(events, _url(url), _secret())
    if as_json:
        print_table([asdict(answer) for answer in answers], as_json=True, empty="")
    else:
        _tell(event_type, answers)
    if refused := [answer.status for answer in answers if not answer.is_taken]:
        advice = next((_ADVICE[status] for status in refused if status in _ADVICE), "Its log says why.")
        raise NotAccepted(f"{len(refused)} of {len(answers)} events not taken. {advice}")


def _made(event_type: str, told: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    try:
        return samples.event(event_type, changes=changes, **told)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from error


def _send_all(events: Sequence[dict[str, Any]], url: httpx.URL, secret: str) -> list[WebhookReply]:
    # Not through the environment's proxies: the bot is here, or where its webhooks come in.
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client, progress_bar(len(events), "Sending") as done:
        answers = []
        for event in events:
            answers.append(_send(client, event, url, secret))
            done(1)
        return answers


def _send(client: httpx.Client, event: dict[str, Any], url: httpx.URL, secret: str) -> WebhookReply:
    body = json.dumps(event, ensure_ascii=False).encode()
    headers = samples.signed(body, event, secret=secret)
    status, error, started = None, None, time.perf_counter()
    try:
        status = client.post(url, content=body, headers=headers).status_code
    except httpx.TransportError as failed:
        error = type(failed).__name__
    return WebhookReply(str(event["event_id"]), status, round((time.perf_counter() - started) * 1000), error)


def _tell(event_type: str, answers: Sequence[WebhookReply]) -> None:
    if len(answers) == 1:
        (answer,) = answers
        said = answer.status or f"no answer ({answer.error})"
        click.echo(f"{event_type} {answer.event_id}: {said} in {answer.ms} ms")
    else:
        times: dict[str, list[int]] = defaultdict(list)
        for answer in answers:
            times[str(answer.status or f"no answer ({answer.error})")].append(answer.ms)
        for said, ms in times.items():
            click.echo(f"{len(ms)} × {event_type}: {said} in {min(ms)} to {max(ms)} ms, half within {_half(ms)} ms")


_ADVICE = {
    None: "Nobody answered. Is the bot served there? Start it with: linqbot serve bot.py; or give --url.",
    401: "The bot's secret is another one. Set LINQ_WEBHOOK_SECRET to what the bot has.",
    404: "There is no webhook at this address. It is usually /webhooks/linq.",
    503: "The bot cannot take it now: its log says why.",
}


def _half(ms: Sequence[int]) -> int:
    return round(statistics.median(ms))


def _described(event_type: str) -> dict[str, str]:
    about = (EVENT_TYPES[event_type].__doc__ or "").partition("\n")[0]
    return {"type": event_type, "class": EVENT_TYPES[event_type].__name__, "what": about}


def _nearest(event_type: str) -> str:
    near = difflib.get_close_matches(event_type, EVENT_TYPES, n=1)
    return f"Did you mean {near[0]}?" if near else "See: linqbot trigger --list"


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
            f"--url is an http(s) address, such as http://127.0.0.1:8000/webhooks/linq, not {text!r}."
        )
    return url


def _secret() -> str:
    """The first of the settings' secrets: while one is rotated out, the bot takes them all.

    Raises:
        ConfigError: there is none, or it is not one.
    """
    secrets = from_env().secrets()
    if not secrets:
        raise ConfigError(
            "LINQ_WEBHOOK_SECRET is not set, so the event could not be signed. "
            "Set it to the secret the bot is served with; for a try, any base64 text will do on both sides."
        )
    Secret.parse(secrets[0])
    return secrets[0]
