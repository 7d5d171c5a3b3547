"""`POST /posts`: programs outside the bot post events over HTTP, signed as Standard Webhooks defines.

The body is the one that the specification recommends, `{"type": "order.shipped", "data": {…}}`, with `chat` or `person` in
addition. So a program can post with any library of Standard Webhooks, and a service that sends such webhooks can post to
the bot itself. The answer is 202 once the post is stored, or was before. Next step: `features/posts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import structlog
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from linqbot.clock import SystemClock
from linqbot.errors import BotError, InvalidSignature, StaleSignature, StorageError
from linqbot.features.posts import Poster
from linqbot.linq.signatures import Secret, verify
from linqbot.server.webhook import WebhookEndpoint

log = structlog.get_logger("linqbot.server")

PATH: Final = "/posts"
_EXAMPLE: Final = '{"type": "order.shipped", "data": {}}'


class PostEndpoint:
    """The endpoint of posts, whose secrets are those of LINQBOT_POST_SECRETS.

    Bodies are read with the limits of webhooks: any client can send them, so slow ones must not fill the memory here either.
    Raises ConfigError if a secret is not base64, or too short.
    """

    def __init__(self, post: Poster, secrets: Sequence[str], webhook: WebhookEndpoint) -> None:
        self._post = post
        self._secrets = [Secret.parse(each) for each in secrets]
        self._webhook = webhook
        self._clock = SystemClock()  # signatures are compared with wall time, also if the bot has another clock

    async def accept(self, request: Request) -> PlainTextResponse:
        """Store a post, and answer 202. Raises HTTPException with the reason if it is refused."""
        if not self._webhook.is_open:
            raise _later("The bot accepts nothing now.")
        body = await self._body(request)
        post_id, content = self._verified(request, body), _decoded(body)
        # Its type, data, chat and person are checked there.
        name, about = content.get("type"), {key: content.get(key) for key in ("chat", "person")}
        try:
            is_new = await self._post(name, content.get("data"), id=post_id, **about)  # type: ignore[arg-type]
        except BotError as error:
            raise HTTPException(400, str(error)) from None
        except StorageError as error:
            log.error("post.refused", error=str(error))
            raise _later("The post cannot be stored now.") from None
        return PlainTextResponse("stored\n" if is_new else "known\n", 202)

    async def _body(self, request: Request) -> bytes:
        body = await self._webhook.read_body(request.receive)
        if not isinstance(body, bytes):
            raise _later("The body did not arrive completely.")
        if len(body) > self._webhook.max_body_bytes:
            raise HTTPException(413, f"The body is larger than {self._webhook.max_body_bytes} bytes.")
        return body

    def _verified(self, request: Request, body: bytes) -> str:
        """Return the id of a post that was signed with one of the secrets."""
        try:
            return verify(dict(request.headers), body, self._secrets, now=self._clock.now()).webhook_id
        except StaleSignature as error:
            raise HTTPException(401, str(error)) from None
        except InvalidSignature:
            self._webhook.bounded_log.warning(
                "post.forged", client=request.client.host[:64] if request.client else None
            )
            raise HTTPException(401, "No secret of LINQBOT_POST_SECRETS has made this signature.") from None


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        content = from_json(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise HTTPException(400, f"The body is no JSON object such as {_EXAMPLE}.")
    return content


def _later(why: str) -> HTTPException:
    return HTTPException(503, f"{why} Post again later.", {"retry-after": "5"})
