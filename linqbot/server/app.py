"""The app of a bot: a Starlette app with the webhook endpoint, health checks and the worker.

`create_app` connects bot, client, storage, plugins and worker. The app can be served alone or mounted into another app.
ASGI runs no lifespan for a mounted app, so the other app must run it with `async with running(app):`. Next step:
`webhook.py` receives a delivery.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import Lifespan, Receive, Scope, Send

from linqbot.bot import lifecycle
from linqbot.bot.bot import Bot
from linqbot.bot.dispatch import Dispatcher
from linqbot.bot.lifecycle import Running
from linqbot.bot.never_awaited import note_coroutines
from linqbot.client.client import Client
from linqbot.clock import Clock, SystemClock
from linqbot.engine.bag import Bag
from linqbot.engine.failure import RetryPolicy
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.turns import Turns
from linqbot.engine.worker import Worker
from linqbot.errors import BotError, ConfigError
from linqbot.features.bot_options import MissedMessages
from linqbot.features.catalog import catalogue
from linqbot.options import Role
from linqbot.plugin_loading import load
from linqbot.plugins.registry import Plugins
from linqbot.server import health, listeners
from linqbot.server.health import Health, depth_of
from linqbot.server.refusals import RefusalRecord
from linqbot.server.secret_file import KnownSecrets, SecretFile
from linqbot.server.webhook import NOT_RUNNING, WebhookEndpoint
from linqbot.storage.backend import Storage
from linqbot.storage.journal import RECEIPTS

if TYPE_CHECKING:
    from linqbot.server.targets import Telling

log = structlog.get_logger("linqbot.server")

WEBHOOK_PATH = "/webhooks/linq"
WEBHOOK_PATHS = (WEBHOOK_PATH, WEBHOOK_PATH + "/")
"""Both are routes, because Linq would take a redirect from one to the other for a failure."""

ONLY_WORKS: Final = (
    "A delivery arrived at a process that only handles deliveries. It was answered 503, so that Linq delivers it again. Send "
    "webhooks to processes with the role receive or all (LINQBOT_ROLE)."
)

# The worker of an app stays stopped, and what it waits for belongs to the first event loop.
RUNS_ONCE: Final = (
    "The app of a bot runs once, and this one was started before. Make another one for each run, such as in each test: "
    "create_app(bot)."
)


def create_app(
    bot: Bot,
    *,
    client: Client,
    storage: Storage,
    secrets: Sequence[str],
    secret_file: Path | None = None,
    clock: Clock | None = None,
    retry_policy: RetryPolicy | None = None,
    concurrency: int = 200,
    allow_legacy_signatures: bool = False,
    max_body_bytes: int = 1 << 20,
    drain_s: float = 20.0,
    log_tracebacks: bool = False,
    log_turns: bool = False,
    order_wait_s: float = 10.0,
    answer_missed_s: float = 3600.0,
    lines: Sequence[str] = (),
    plugins: Plugins | None = None,
    refusals_file: Path | None = None,
    post_secrets: Sequence[str] = (),
    role: Role = "all",
    on_drain: Callable[[int], object] | None = None,
    telling: Telling | None = None,
) -> Starlette:
    """Return an ASGI app that receives Linq's webhooks and runs `bot` on them, once: its lifespan cannot be run again.

    Args:
        client: Client for calls to Linq. Opened and closed with the app.
        storage: Storage of deliveries, journal, state and timers. Opened and closed with the app.
        secrets: Signing secrets as Linq showed them; several while a secret is rotated.
        secret_file: File with more secrets. The app reads it again when it changes, so a rotation needs no restart.
        clock: Clock for retries, timers, the time of receipt and the age of messages. Signatures are always checked
            against wall time.
        retry_policy: Back-off between retries, and when a delivery becomes a dead letter.
        concurrency: Maximum number of chats handled at the same time.
        allow_legacy_signatures: Accept the older `X-Webhook-*` headers if the new ones are absent.
        max_body_bytes: Largest accepted webhook body.
        drain_s: Seconds that running handlers may take to finish when the app stops.
        log_tracebacks: Log tracebacks of failed handlers. They quote messages: use this only in your own terminal.
        log_turns: Log a line for each turn that is acked, with ids only. Turns that fail are always logged.
        order_wait_s: Seconds that a chat's first message after a gap may wait while Linq is asked for earlier messages
            that are missing. 0 never asks: messages are then handled in the order in which they were accepted.
        answer_missed_s: Maximum age, in seconds, of messages that are answered although Linq gave up on them.
        lines: Lines whose missed messages are fetched after a downtime, E.164; () for all lines of the account.
        plugins: Plugins of this app; they must not be used by another app. None loads those that the bot names or
            brings; `linqbot.settings` also loads other installed plugins.
        refusals_file: File for the counts of refused deliveries, which `linqbot check` reads; None writes none.
        post_secrets: Secrets with which programs sign what they post to `/posts`; without any there is no such route.
        role: `receive` only stores deliveries, `work` only handles them and answers webhooks with 503. Both need a storage
            that several processes share, and each other.
        on_drain: Called when the app stops while handlers run, with their number. They then have `drain_s` to finish.
        telling: Where the owner learns that the bot is in trouble, and who gets a heartbeat; None sends nothing.
    Raises:
        ConfigError: there is no secret, or a secret is not base64; a required plugin failed; or the storage cannot be shared
            with processes of other roles.
        BotError: a handler can never run, or middleware returns no function.
    """
    _check_role(role, storage)
    known = KnownSecrets(secrets, SecretFile(secret_file) if secret_file else None)
    clock = clock or SystemClock()
    retry_policy = retry_policy or RetryPolicy()
    plugins = load(bot.plugins) if plugins is None else plugins
    outbound = Outbound(plugins)
    observed = client.wrapped(outbound.observed)
    dispatcher = Dispatcher(bot, clock, deadline_s=retry_policy.deadline_s, threads=concurrency, plugins=plugins)
    # The failure of a send is logged by its turn.
    storage.settled = [name for name, status in RECEIPTS.items() if status != "failed" and not dispatcher.wants(name)]
    wrapped = observed.wrapped(outbound.wrap)
    options = Bag()
    options.put(MissedMessages(wait_s=order_wait_s, answer_for_s=answer_missed_s, lines=lines))
    turns = Turns(
        dispatcher,
        observed,
        storage,
        clock,
        SendRateLimit(clock),
        catalogue,
        retry_policy,
        log_tracebacks,
        outbound,
        log_turns,
        shared_since=clock.now() if storage.is_shared else math.inf,
        serving_since=clock.now(),
        options=options,
    )
    features = turns.features
    environment = Running(
        bot, wrapped, storage, clock, dispatcher.routes.handled, lost=lambda: features.lost, options=bot.options
    )
    worker = Worker(turns, storage, clock, concurrency=concurrency)
    refusals = RefusalRecord(refusals_file, SystemClock())
    webhook = WebhookEndpoint(
        storage,
        known,
        clock,
        allow_legacy=allow_legacy_signatures,
        max_body_bytes=max_body_bytes,
        plugins=plugins,
        features=features,
        record=refusals,
        closed_because=ONLY_WORKS if role == "work" else NOT_RUNNING,
    )
    added_routes = health.routes(plugins, environment)
    receives, works = role != "work", role != "receive"

    has_run = False

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        nonlocal has_run
        if has_run:
            raise BotError(RUNS_ONCE)
        async with client, storage, lifecycle.around(bot, environment), features.around(role):
            await health.start(plugins, environment)
            if works:
                note_coroutines()
                worker.start()
            if receives:
                refusals.open()
                webhook.is_open = True
            log.info("bot.started", role=role, waiting=await storage.depth())
            has_run = True  # only now: a start that fails, such as while PostgreSQL is away, may be tried again
            try:
                async with _watched(telling, environment, refusals, probes):
                    yield
            finally:
                await webhook.close()
                if worker.busy and on_drain is not None:
                    on_drain(worker.busy)
                await worker.stop(drain_s)
                await dispatcher.aclose()
                await health.stop(plugins)
                await refusals.close()
                log.info("bot.stopped", waiting=await depth_of(storage))

    probes = Health(role, webhook, worker, environment, plugins, clock)
    routes = [
        *(Route(path, webhook) for path in WEBHOOK_PATHS),
        Route("/livez", probes.livez),
        Route("/readyz", probes.readyz),
        *_post_routes(environment, post_secrets, webhook),
    ]
    app = _App(webhook, routes=[*routes, *added_routes], lifespan=lifespan)
    app.state.added_listeners = partial(listeners.added, plugins, environment)
    return app


class _App(Starlette):
    """Starlette with a shortcut to the webhook endpoint: routing would cost a tenth of the time of an ack."""

    def __init__(self, webhook: WebhookEndpoint, *, routes: Sequence[BaseRoute], lifespan: Lifespan[Starlette]) -> None:
        super().__init__(routes=routes, lifespan=lifespan)
        self.state.webhooks = dict.fromkeys(WEBHOOK_PATHS, webhook)
        self._webhook = webhook

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # No shortcut if middleware was added to the app, because it must wrap the webhook too. In a mounted app the
        # path has a prefix, so Starlette routes it.
        if scope["type"] == "http" and scope["path"] in WEBHOOK_PATHS and not self.user_middleware:
            await self._webhook(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


@asynccontextmanager
async def _watched(
    telling: Telling | None, environment: Running, refusals: RefusalRecord, probes: Health
) -> AsyncIterator[None]:
    """Look for troubles while the block runs."""
    if telling is None:
        yield
        return
    from linqbot.server.telling import TroubleWatch  # few bots have it

    client, storage, clock = environment.client, environment.storage, environment.clock
    watch = TroubleWatch(
        telling,
        client,
        storage,
        clock,
        refusals,
        environment.lost,
        probes.is_ready,
        storage_trouble=probes.storage_trouble,
    )
    task = asyncio.get_running_loop().create_task(watch.run(), name="linqbot troubles")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _post_routes(environment: Running, secrets: Sequence[str], webhook: WebhookEndpoint) -> list[BaseRoute]:
    if not secrets:
        return []
    from linqbot.server.posts import PATH, PostEndpoint  # few bots have this route

    endpoint = PostEndpoint(environment.post, secrets, webhook)
    return [Route(PATH, endpoint.accept, methods=["POST"])]


def running(app: Starlette) -> AbstractAsyncContextManager[object]:
    """Run the lifespan of a mounted app inside the lifespan of the app that mounts it.

    Example:
        `async with running(linq): yield` in the lifespan of the outer app.
    """
    return app.router.lifespan_context(app)


def _check_role(role: Role, storage: Storage) -> None:
    if role != "all" and not storage.is_shared:
        raise ConfigError(
            f"The role {role} needs a storage that several processes share, and this one is served by one process. Set "
            "LINQBOT_STORAGE to a postgresql:// URL, or leave out the role."
        )
