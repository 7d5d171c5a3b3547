"""The same bot for Slack, written as in slack-bolt's documentation: verify the signature, ack, then reply."""

# Only the benchmarks need this library, so it is not installed when types are checked.
# mypy: disable-error-code="import-not-found, untyped-decorator, no-any-return"
from __future__ import annotations

import os
from typing import Any

from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp, AsyncSay
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

bolt = AsyncApp(
    client=AsyncWebClient(os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"]),
    signing_secret=os.environ["SLACK_SIGNING_SECRET"],
)
handler = AsyncSlackRequestHandler(bolt)


@bolt.event("message")
async def echo(event: dict[str, Any], say: AsyncSay) -> None:
    await say(f"You said: {event['text']}")


async def receive(request: Request) -> Response:
    return await handler.handle(request)


app = Starlette(routes=[Route("/slack/events", receive, methods=["POST"])])
