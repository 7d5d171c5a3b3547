"""The FastAPI bot, tuned: it acks first, replies in a task, and keeps 256 connections to the API open."""

# Only the benchmarks need its library, so it is not there when types are checked.
# mypy: disable-error-code="import-not-found, untyped-decorator"
from __future__ import annotations

import asyncio
import os
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from linq import AsyncLinqAPIV3, DefaultAsyncHttpxClient
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
client = AsyncLinqAPIV3(http_client=DefaultAsyncHttpxClient(limits=limits))
webhook = Webhook(os.environ["LINQ_WEBHOOK_SECRET"])
app = FastAPI()
replies: set[asyncio.Task[None]] = set()


async def reply(event: dict[str, Any]) -> None:
    data = event["data"]
    text = " ".join(part["value"] for part in data["parts"] if part["type"] == "text")
    await client.chats.messages.send(
        data["chat"]["id"], message={"parts": [{"type": "text", "value": f"You said: {text}"}]}
    )


@app.post("/webhooks/linq")
async def receive(request: Request) -> Response:
    try:
        event: dict[str, Any] = webhook.verify(await request.body(), dict(request.headers))
    except WebhookVerificationError:
        return Response(status_code=401)
    if event["event_type"] == "message.received":
        task = asyncio.create_task(reply(event))
        replies.add(task)
        task.add_done_callback(replies.discard)
    return Response()
