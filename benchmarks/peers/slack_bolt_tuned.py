"""The slack-bolt bot, tuned: all its calls share one session, where the documented client opens one for each call."""

# Only the benchmarks need its library, so it is not there when types are checked.
# mypy: disable-error-code="import-not-found, untyped-decorator, no-any-return"
from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp, AsyncSay
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

client = AsyncWebClient(os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"])
bolt = AsyncApp(client=client, signing_secret=os.environ["SLACK_SIGNING_SECRET"])
handler = AsyncSlackRequestHandler(bolt)


@bolt.event("message")
async def echo(event: dict[str, Any], say: AsyncSay) -> None:
    await say(f"You said: {event['text']}")


async def receive(request: Request) -> Response:
    return await handler.handle(request)


@asynccontextmanager
async def sharing_a_session(_: Starlette) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256)) as session:
        client.session = session
        yield


app = Starlette(routes=[Route("/slack/events", receive, methods=["POST"])], lifespan=sharing_a_session)
