"""Where a bot runs: a Starlette app with the webhook endpoint, health, and the worker beside them.

`create_app` ties the rooms together. The app can be served by itself or mounted into another; whoever mounts it runs
its lifespan, with `async with running(app):`, since ASGI gives a mounted app none of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Lifespan, Receive, Scope, Send

from linqbot.bot.bot import Bot
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.client import Client
from linqbot.clock import Clock, SystemClock
from linqbot.hookspecs import Running
from linqbot.plugins.loading import load
from linqbot.plugins.registry import Plugins
from linqbot.server import plugin_routes
from linqbot.server.readiness import Readiness
from linqbot.server.secret_file import KnownSecrets, SecretFile
from linqbot.server.webhook import WebhookEndpoint
from linqbot.storage.backend import Storage
from linqbot.worker.catchup import catch_up
from linqbot.worker.failure import RetryPolicy
from linqbot.worker.gaps import Gaps
from linqbot.worker.outbound_plugins import Outbound
from linqbot.worker.rate_limit import SendRateLimit
from linqbot.worker.turn import Turns
from linqbot.worker.worker import Worker

log = structlog.get_logger("linqbot.server")

WEBHOOK_PATH = "/webhooks/linq"
WEBHOOK_PATHS = (WEBHOOK_PATH, WEBHOOK_PATH + "/")
"""A redirect from one to the other would be an answer that Linq takes for a failure."""


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
    order_wait_s: float = 10.0,
    answer_missed_s: float = 3600.0,
    plugins: Plugins | None = None,
) -> Starlette:
    """An ASGI app that receives Linq's webhooks and runs `bot` on them.

    Args:
        client: How the bot talks to Linq. Opened and closed with the app.
        storage: What it remembers. Opened and closed with the app.
        secrets: Signing secrets as Linq showed them; several while one is being rotated out.
        secret_file: Holds more of them, or all; read again when it changes, so that rotating needs no restart.
        clock: Drives retries and what is old news. Signatures are always checked against wall time.
        concurrency: How many chats are handled at once.
        allow_legacy_signatures: Accept the older `X-Webhook-*` headers when the new ones are absent.
        drain_s: How long running handlers may take to end when the app stops.
        log_tracebacks: Log what failing handlers raised in full. Tracebacks quote messages: for your own terminal.
        order_wait_s: Longest wait of a chat's first message after a gap, while Linq is asked for what is missing before
            it. 0 asks nothing: the order is that of acceptance then.
        answer_missed_s: Age up to which messages that Linq gave up on are answered like others.
        plugins: For this app alone; None is what the bot itself names or brings. `linqbot.settings` also loads what
            else is installed.
    Raises:
        ConfigError: no secret, or one that is not base64; or a required plugin failed.
        BotError: a handler can never run.
    """
    known = KnownSecrets(secrets, SecretFile(secret_file) if secret_file else None)
    clock = clock or SystemClock()
    retry_policy = retry_policy or RetryPolicy()
    plugins = load(bot.plugins) if plugins is None else plugins
    outbound = Outbound(plugins)
    told = client.wrapped(outbound.observed)
    here = Running(bot, told.wrapped(outbound.wrap), storage, clock)
    dispatcher = Dispatcher(bot, clock, deadline_s=retry_policy.deadline_s, threads=concurrency, plugins=plugins)
    turns = Turns(dispatcher, told, storage, clock, SendRateLimit(clock), retry_policy, log_tracebacks, outbound)
    gaps = Gaps(told, storage, clock, wait_s=order_wait_s, answer_for_s=answer_missed_s)
    worker = Worker(turns, storage, clock, concurrency=concurrency, gaps=gaps)
    webhook = WebhookEndpoint(
        storage,
        known,
        SystemClock(),
        allow_legacy=allow_legacy_signatures,
        max_body_bytes=max_body_bytes,
        plugins=plugins,
        on_refused=gaps.note_refused,
    )
    added_routes = plugin_routes.routes(plugins, here)
    checks = plugin_routes.Checks(plugins, here)
    readiness = Readiness(webhook, storage)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client, storage:
            await plugin_routes.start(plugins, here)
            heard_at = await gaps.begin()
            history = asyncio.create_task(catch_up(told, storage, clock, gaps, heard_at))
            worker.start()
            webhook.is_open = True
            log.info("bot.started", waiting=await storage.depth())
            try:
                yield
            finally:
                webhook.close()
                await readiness.stop()
                history.cancel()
                await worker.stop(drain_s)
                await dispatcher.aclose()
                await plugin_routes.stop(plugins)
                log.info("bot.stopped", waiting=await storage.depth())

    async def livez(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> JSONResponse:
        reason: str | None
        if webhook.is_open and worker.is_running:
            found, well = await checks.look()
            reason = await readiness.look() or (None if well else "A required plugin is not well; see checks.")
            waiting = await storage.depth()
        else:
            found, waiting = {}, None
            reason = "The worker has ended; see the log." if webhook.is_open else "The app is starting or stopping."
        how: dict[str, object] = {"ready": reason is None, "busy": worker.busy, "waiting": waiting}
        if reason is not None:
            how["reason"] = reason
        if report := plugins.report():
            failing = [plugin.name for plugin in plugins.every if plugin.status == "failing"]
            how |= {"plugins": report, "checks": found, "failing": failing}
        return JSONResponse(how, 503 if reason else 200)

    routes = [*(Route(path, webhook) for path in WEBHOOK_PATHS), Route("/livez", livez), Route("/readyz", readyz)]
    return _App(webhook, routes=[*routes, *added_routes], lifespan=lifespan)


class _App(Starlette):
    """Starlette, with a straight way to the webhook: on its own, a delivery's way costs a tenth of the whole ack."""

    def __init__(self, webhook: WebhookEndpoint, *, routes: Sequence[BaseRoute], lifespan: Lifespan[Starlette]) -> None:
        super().__init__(routes=routes, lifespan=lifespan)
        self._webhook = webhook

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Middleware somebody put around the app wraps the webhook too; and where it is mounted, paths are Starlette's.
        if scope["type"] == "http" and scope["path"] in WEBHOOK_PATHS and not self.user_middleware:
            await self._webhook(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def running(app: Starlette) -> AbstractAsyncContextManager[object]:
    """Run a mounted app's lifespan inside another's.

    Example:
        `async with running(linq): yield` in the lifespan of the app that mounts it.
    """
    return app.router.lifespan_context(app)
