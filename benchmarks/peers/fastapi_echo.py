"""An echo bot written by hand: FastAPI and Linq's official client. It replies before the ack and stores nothing."""

# Only the benchmarks need this library, so it is not installed when types are checked.
# mypy: disable-error-code="import-not-found, untyped-decorator"
from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from linq import AsyncLinqAPIV3
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

app = FastAPI()
client = AsyncLinqAPIV3()  # key and base URL come from the environment
webhook = Webhook(os.environ["LINQ_WEBHOOK_SECRET"])


@app.post("/webhooks/linq")
async def receive(request: Request) -> dict[str, bool]:
    try:
        event: dict[str, Any] = webhook.verify(await request.body(), dict(request.headers))
    except WebhookVerificationError as error:
        raise HTTPException(401) from error
    if event["event_type"] == "message.received":
        data = event["data"]
        text = " ".join(part["value"] for part in data["parts"] if part["type"] == "text")
        await client.chats.messages.send(
            data["chat"]["id"], message={"parts": [{"type": "text", "value": f"You said: {text}"}]}
        )
    return {"ok": True}
