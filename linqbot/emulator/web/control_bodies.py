"""The bodies of the control API: what each act of a person, and each change around them, is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field

from linqbot.emulator.model.faults import Fault
from linqbot.emulator.model.handles import is_handle, normal


def _checked_handle(text: str) -> str:
    if not is_handle(text):
        raise ValueError("must be an E.164 number or an e-mail address")
    return normal(text)


Handle: TypeAlias = Annotated[str, AfterValidator(_checked_handle)]
Service: TypeAlias = Literal["iMessage", "RCS", "SMS"]
Range: TypeAlias = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)]


class Body(BaseModel):
    """A body of the control API. Unknown keys are refused: a typing mistake should not look like success."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class ByPerson(Body):
    from_: Handle = Field(alias="from")


class MentionBody(Body):
    handle: Handle
    range: Range | None = None


class Text(Body):
    type: Literal["text"]
    value: Annotated[str, Field(min_length=1)]
    text_decorations: list[dict[str, Any]] | None = None
    mention: Handle | None = None
    mention_range: Range | None = None
    mentions: list[MentionBody] | None = None


class Link(Body):
    type: Literal["link"]
    value: Annotated[str, Field(min_length=1)]


class Media(Body):
    type: Literal["media"]
    filename: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    mime_type: str | None = None
    data_base64: str | None = None
    url: str | None = None
    attachment_id: str | None = None


class Reply(Body):
    message_id: str
    part_index: Annotated[int, Field(ge=0)] = 0


class EffectBody(Body):
    name: str
    type: Literal["screen", "bubble"] | None = None


def _as_object(key: str) -> Callable[[Any], Any]:
    return lambda value: {key: value} if isinstance(value, str) else value


class Inbound(ByPerson):
    to: Handle
    parts: Annotated[list[Annotated[Text | Link | Media, Discriminator("type")]], Field(min_length=1, max_length=100)]
    chat_id: str | None = None
    group: list[Handle] = []
    reply_to: Annotated[Reply, BeforeValidator(_as_object("message_id"))] | None = None
    effect: Annotated[EffectBody, BeforeValidator(_as_object("name"))] | None = None
    service: Service | None = None
    sent_at: str | None = None
    reconciled_at: str | None = None


class React(ByPerson):
    message_id: str
    type: Literal["love", "like", "dislike", "laugh", "emphasize", "question", "custom", "sticker"]
    operation: Literal["add", "remove"] = "add"
    custom_emoji: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    part_index: Annotated[int, Field(ge=0)] = 0
    emoji: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    url: str | None = None
    attachment_id: str | None = None


class Read(ByPerson):
    chat_id: str
    message_id: str | None = None


class TypingBody(ByPerson):
    chat_id: str
    state: Literal["started", "stopped"]


class Edit(ByPerson):
    message_id: str
    text: Annotated[str, Field(min_length=1)]
    part_index: Annotated[int, Field(ge=0)] = 0


class NewPoll(ByPerson):
    chat_id: str
    options: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=2)]


class NewOptions(ByPerson):
    message_id: str
    options: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class Vote(ByPerson):
    message_id: str
    option_id: str
    operation: Literal["add", "remove"] = "add"


class LocationBody(ByPerson):
    chat_id: str
    state: Literal["started", "stopped"] = "started"
    latitude: Annotated[float, Field(ge=-90, le=90)] = 0.0
    longitude: Annotated[float, Field(ge=-180, le=180)] = 0.0
    for_s: Annotated[float, Field(gt=0, le=10**8)] | None = None


class Membership(ByPerson):
    chat_id: str
    handle: Handle | None = None


class SharedCard(ByPerson):
    to: Handle
    first_name: Annotated[str, Field(max_length=100)]
    last_name: Annotated[str, Field(max_length=100)] = ""
    media_url: str | None = None


class Paid(Body):
    id: str


class Provider(Body):
    provider: str
    status: Literal["onboarding", "ready", "disabled"]


class FaultBody(Body):
    on: Literal["api", "delivery", "message", "chat"]
    match: str = ""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    code: int | None = None
    retry_after: Annotated[int, Field(ge=0)] | None = None
    delay_ms: Annotated[int, Field(ge=0)] = 0
    drop: Literal["answer", "request"] | bool = False
    lose: bool = False
    duplicate: bool = False
    reorder: bool = False
    kind: Literal["lose", "delay", "duplicate", "reorder"] | None = None
    times: Annotated[int, Field(ge=1)] = 1

    def fault(self) -> Fault:
        drop = "answer" if self.drop is True or self.lose or self.kind == "lose" else self.drop or None
        return Fault(
            on=self.on,
            match=self.match,
            status=self.status,
            code=self.code,
            retry_after=self.retry_after,
            delay_ms=self.delay_ms or (1000 if self.kind == "delay" else 0),
            drop=drop,
            duplicate=self.duplicate or self.kind == "duplicate",
            reorder=self.reorder or self.kind == "reorder",
            times=self.times,
        )


class ClockBody(Body):
    advance_s: Annotated[float, Field(ge=0, le=10**9)] | None = None
    freeze: bool | None = None


class LineChange(Body):
    """What Linq or the team does to a line; `assigned` gives it to the account, or takes it away."""

    phone_number: Handle
    assigned: bool | None = None
    line_type: Literal["iMessage", "RCS"] = "iMessage"
    zero_retention: bool | None = None
    card: Literal["deleted"] | None = None
    status: Literal["ACTIVE", "FLAGGED"] | None = None
    reputation: Literal["HEALTHY", "AT_RISK", "CRITICAL"] | None = None


class Seed(Body):
    seed: dict[str, Any] | None = None
