"""Settings of a bot, read once: from the environment, or else from `linqbot.toml`.

For the CLI, and for bots served by another ASGI server: `app = from_env().create_app(bot)`. The modules below take
plain arguments and never see a Settings object. Next step: `server/app.py` makes the app.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from linqbot.clock import Clock
from linqbot.errors import ConfigError, KeyMissing, SettingWrong
from linqbot.linq.handles import is_phone
from linqbot.linq.signatures import MIN_KEY_BYTES, is_secret
from linqbot.nearest import nearest_name
from linqbot.options import Role
from linqbot.server.secret_file import SecretFile
from linqbot.storage import open as builtin_storages
from linqbot.storage.open import open_storage, scheme
from linqbot.text_files import unquoted, written_text

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from linqbot.bot.bot import Bot
    from linqbot.client.client import Client
    from linqbot.plugins.registry import Plugins
    from linqbot.server.targets import Telling
    from linqbot.storage.backend import Storage, StorageBackend


PREFIX = "LINQBOT_"
LINQS_PREFIX = "LINQ_"
_FILE: Final = Path("linqbot.toml")
LINQS_OWN = {
    "api_key": "LINQ_API_V3_API_KEY",
    "api_key_file": "LINQ_API_V3_API_KEY_FILE",
    "base_url": "LINQ_API_V3_BASE_URL",
    "webhook_secrets": "LINQ_WEBHOOK_SECRET",
    "webhook_secret_file": "LINQ_WEBHOOK_SECRET_FILE",
}
"""Settings whose variables have the names that Linq's own SDKs read, or such a name with `_FILE` for a file."""


def _split(value: Any) -> Any:
    return [entry.strip() for entry in value.split(",") if entry.strip()] if isinstance(value, str) else value


List = Annotated[tuple[str, ...], BeforeValidator(_split)]


def _each(fits: Callable[[str], object], problem: str) -> AfterValidator:
    """Return a check of each entry of a list. The error has the number of an entry that does not fit, and not the entry."""

    def checked(entries: tuple[str, ...]) -> tuple[str, ...]:
        for number, entry in enumerate(entries, 1):
            if not fits(entry):
                raise PydanticCustomError("entry", f"entry {number} {problem}")
        return entries

    return AfterValidator(checked)


UNIX_SOCKET: Final = "unix:"
"""The address of every client of a Unix socket, as in nginx's `set_real_ip_from`."""


def _is_proxy(entry: str) -> bool:
    try:
        ip_network(entry)
    except ValueError:
        return entry in (UNIX_SOCKET, "*")
    return True


def _with_lone_star(proxies: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in proxies and len(proxies) > 1:
        # uvicorn would take the star for a name.
        raise PydanticCustomError(
            "proxy", "* trusts every client, and must stand alone. Give it without the other entries"
        )
    return proxies


# uvicorn would keep an entry that is none of these, and no client would ever fit it.
Proxies = Annotated[
    List,
    AfterValidator(_with_lone_star),
    _each(
        _is_proxy,
        "is neither an IP address nor a network, such as 10.0.0.0/8, in which only the bits of the prefix are set. For clients "
        "of a Unix socket write unix:",
    ),
]

# Linq is asked for their missed messages after a long downtime only: a number that it does not take shows too late.
Lines = Annotated[
    List, _each(is_phone, "is not a phone number in E.164 form, without spaces or brackets: +12025550100")
]

PostSecrets = Annotated[
    List,
    _each(is_secret, f"is not base64 of {MIN_KEY_BYTES} bytes or more. openssl rand -base64 32 prints one"),
]


def _without_version(value: Any) -> Any:
    # Linq's pages show the address with /v3, which the client adds itself.
    return value.rstrip("/").removesuffix("/v3") if isinstance(value, str) else value


BaseUrl = Annotated[str, BeforeValidator(_without_version)]


class Settings(BaseModel):
    """All settings of a bot, each with its default. `linqbot serve --help` prints this list."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api_key: str | None = Field(None, repr=False, description="Bearer token of your Linq account")
    api_key_file: Path | None = Field(
        None,
        description="File to read the token from, if LINQ_API_V3_API_KEY is not set; read again when Linq refuses the token",
    )
    base_url: BaseUrl = Field("https://api.linqapp.com/api/partner", description="Base URL of Linq's API")
    webhook_secrets: List = Field(
        (), repr=False, description="Signing secrets of webhooks; comma-separated, while a secret is rotated"
    )
    webhook_secret_file: Path = Field(
        Path(".linqbot/webhook-secret"),
        description="File with more signing secrets, one per line; linqbot connect writes it",
    )
    post_secrets: PostSecrets = Field(
        (),
        repr=False,
        description="Secrets of programs that post events to /posts, base64, comma-separated; unset for no such route",
    )
    storage: str = Field(
        "sqlite:///linqbot.db",
        repr=False,  # may hold the password of a database
        description="sqlite:///PATH, postgresql://USER@HOST/DATABASE?schema=linqbot, memory:// (lost at exit), or a plugin's URL",
    )
    plugins: List | None = Field(
        None, description="Installed plugins that may be loaded, comma-separated; empty for none, unset for all"
    )
    required_plugins: List = Field(
        (), description="Plugins without which the bot neither starts nor sends, comma-separated"
    )
    keep_days: float = Field(
        0.0, ge=0, description="Days to keep handled deliveries and sent texts, for replay; 0 erases them at once"
    )
    keep_outcomes_days: float = Field(
        7.0, ge=0, description="Days to keep what became of each delivery, with ids only; 0 keeps nothing"
    )
    operator: str | None = Field(
        None,
        description="Name of the operator in the log of what is done by command; unset for the user of the machine",
    )
    role: Role = Field(
        "all",
        description="all; or receive, to only store webhooks for others, or work, to only handle them (PostgreSQL)",
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on")
    page: bool = Field(False, description="Also serve the operator's page, of linqbot-operator, as --page does")
    page_port: int = Field(8001, ge=0, le=65535, description="Port of the operator's page, with --page")
    page_password: str | None = Field(
        None, repr=False, description="Hash of the password with which operators log in to the page"
    )
    page_reader_password: str | None = Field(
        None, repr=False, description="Hash of the password of those who only look at the page"
    )
    page_user_header: str | None = Field(
        None, description="Header in which a trusted proxy names who uses the page; it needs no password then"
    )
    page_operators: List = Field(
        (), description="Who may act on the page, of those that the proxy names, comma-separated; the others only look"
    )
    trusted_proxies: Proxies = Field(
        (),
        description="Addresses or networks of proxies whose X-Forwarded-* headers are trusted, comma-separated; unix: for sockets",
    )
    allow_legacy_signatures: bool = Field(
        False, description="Accept deliveries signed only with the older X-Webhook-* headers"
    )
    max_body_bytes: int = Field(1 << 20, gt=0, description="Largest accepted webhook body, in bytes")
    concurrency: int = Field(200, gt=0, description="Maximum number of chats handled at the same time")
    drain_s: float = Field(20.0, ge=0, description="Seconds that running handlers may take to finish after SIGTERM")
    order_wait_s: float = Field(
        10.0,
        ge=0,
        description="Seconds that a chat's first message after a downtime waits for older ones; 0 for none",
    )
    answer_missed_s: float = Field(
        3600.0,
        ge=0,
        description="Maximum age, in seconds, of messages that are answered although Linq gave up on them",
    )
    lines: Lines = Field(
        (),
        description="Lines that this bot serves, comma-separated: only their missed messages are fetched. Default: all",
    )
    tell: List = Field(
        (),
        repr=False,
        description="Where you learn of each trouble: sms:+1…, mailto:…@… or https://… for a webhook, comma-separated",
    )
    smtp_url: str | None = Field(
        None,
        repr=False,
        description="Server for e-mails to mailto: addresses: smtps://USER:PASSWORD@HOST?from=ADDRESS, or smtp:// for STARTTLS",
    )
    heartbeat_url: str | None = Field(
        None, repr=False, description="Gets a GET each minute while people are answered; a service of yours expects it"
    )
    wait_min: float = Field(
        5.0,
        gt=0,
        allow_inf_nan=False,
        description="Minutes for which a message may wait for an answer before LINQBOT_TELL reports it; more than handlers take",
    )
    silence_min: float = Field(
        0.0,
        ge=0,
        description="Minutes without a webhook that LINQBOT_TELL reports until the usual ones of two weeks are known; 0 for none",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged")
    log_tracebacks: bool = Field(False, description="Log tracebacks of failed handlers; they may quote messages")
    full_tracebacks: bool = Field(False, description="Show linqbot's own frames in tracebacks too")
    log_turns: bool = Field(True, description="Log a line for each turn that is acked; failed turns are always logged")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json or console; auto: console in a terminal, otherwise json"
    )

    @property
    def secret_file(self) -> SecretFile:
        """Return the file of signing secrets, which may not exist."""
        return SecretFile(self.webhook_secret_file)

    @property
    def refusals_file(self) -> Path | None:
        """Return the file in which the server counts refused deliveries; None if the storage is not a file."""
        from linqbot.storage.open import path_of

        path = path_of(self.storage)
        return None if path is None else path.with_name(f"{path.name}-refused.json")

    def secrets(self) -> tuple[str, ...]:
        """Return all signing secrets: those of the environment, then those of the file.

        Raises:
            ConfigError: the file cannot be read, or holds a line that is not a secret.
        """
        return self.webhook_secrets + tuple(each.secret for each in self.secret_file.read())

    def required_key(self, so: str = "", to_do: str = "Set it to the API token from your Linq dashboard.") -> str:
        """Return the API key.

        Args:
            so: What is not possible without it, such as ", so Linq cannot be asked".
            to_do: A sentence for those who do not have it in a file `.env`.
        Raises:
            KeyMissing: it is not set.
        """
        if not self.api_key:
            raise KeyMissing(f"LINQ_API_V3_API_KEY is not set{so}. {how_to_set_key(to_do)}")
        return self.api_key

    @asynccontextmanager
    async def linq(self) -> AsyncIterator[Client | None]:
        """Open a client of Linq for a command or a page; None without an API key."""
        from linqbot.client.client import Client

        if not self.api_key:
            yield None
            return
        async with Client(self.api_key, base_url=self.base_url) as client:
            yield client

    def create_app(
        self,
        bot: Bot,
        *,
        built_in: Iterable[object] = (),
        clock: Clock | None = None,
        on_drain: Callable[[int], object] | None = None,
    ) -> Starlette:
        """Make the app that these settings describe.

        Args:
            built_in: Modules and objects of linqbot that implement hooks.
            clock: The clock of client, storage and worker; None is the wall clock.
            on_drain: See `linqbot.server.app.create_app`.
        Raises:
            ConfigError: the API key or the webhook secret is missing, a required plugin failed, or the storage cannot be
                shared with processes of other roles.
        """
        # Most commands read settings and run no bot.
        from linqbot.client.client import Client
        from linqbot.server.app import create_app

        api_key = self.required_key(
            ", so the bot could not send anything",
            "Set it to the API token from your Linq dashboard, or try the bot without an account: linqbot dev",
        )
        plugins = self.load_plugins(bot.plugins, built_in=built_in)
        return create_app(
            bot,
            # The client waits only briefly. For a longer wait the worker defers the turn, which frees its place for
            # another chat.
            client=Client(api_key, base_url=self.base_url, max_wait_s=2.0, clock=clock, api_key_file=self.api_key_file),
            storage=self.open_storage(plugins, clock=clock),
            secrets=self.webhook_secrets,
            secret_file=self.webhook_secret_file,
            concurrency=self.concurrency,
            allow_legacy_signatures=self.allow_legacy_signatures,
            max_body_bytes=self.max_body_bytes,
            drain_s=self.drain_s,
            log_tracebacks=self.log_tracebacks,
            log_turns=self.log_turns,
            order_wait_s=self.order_wait_s,
            answer_missed_s=self.answer_missed_s,
            lines=self.lines,
            clock=clock,
            plugins=plugins,
            refusals_file=self.refusals_file,
            post_secrets=self.post_secrets,
            role=self.role,
            on_drain=on_drain,
            telling=self.telling(),
        )

    def telling(self) -> Telling | None:
        """Return where the owner learns of troubles; None if no setting says so.

        Raises:
            ConfigError: there is no server for e-mails, or a setting is no address.
        """
        if not self.tell and self.heartbeat_url is None:
            return None
        from linqbot.server.targets import ADDRESSES, Telling

        given = {"tell": self.tell, "heartbeat_url": (self.heartbeat_url,), "smtp_url": (self.smtp_url,)}
        for name, (fits, problem) in ADDRESSES.items():
            if not all(fits(address) for address in given[name] if address is not None):
                raise SettingWrong(f"{variable(name)} does not fit: an address {problem}")
        if self.smtp_url is None and any(each.startswith("mailto:") for each in self.tell):
            raise SettingWrong(
                "LINQBOT_TELL has a mailto: address, and LINQBOT_SMTP_URL is not set. Set it to smtps://USER:PASSWORD@HOST"
            )
        return Telling(self.tell, self.smtp_url, self.heartbeat_url, self.wait_min, self.silence_min)

    def without_telling(self) -> Settings:
        """Return the same settings for a bot that is only tried out: it tells its owner nothing, and sends no heartbeat."""
        return self.model_copy(update={"tell": (), "heartbeat_url": None})

    def load_plugins(
        self,
        given: Iterable[object] = (),
        *,
        lenient: bool = False,
        built_in: Iterable[object] = (),
    ) -> Plugins:
        """Load the plugins of one app: those that the bot brings, and those that are installed and allowed.

        For the arguments see `linqbot.plugin_loading.load`.

        Raises:
            ConfigError: a required plugin is missing or cannot be loaded; see `load`.
        """
        from linqbot.plugin_loading import load

        return load(
            given,
            discover=True,
            allowed=self.plugins,
            required=self.required_plugins,
            built_in=[builtin_storages, *built_in],
            lenient=lenient,
        )

    def open_storage(
        self, plugins: Plugins | None = None, *, serving: bool = True, clock: Clock | None = None
    ) -> Storage:
        """Return the storage that these settings name, not opened yet.

        Args:
            plugins: Plugins that may bring the storage; None loads them, unless the storage is built in.
            serving, clock: See `linqbot.storage.open.open_storage`.
        Raises:
            ConfigError: neither linqbot nor a plugin can open the URL.
        """
        backends = self.backends_for(self.storage) if plugins is None else plugins.backends()
        storage = open_storage(self.storage, clock=clock, serving=serving, keep_days=self.keep_days, backends=backends)
        storage.keep_outcomes_days = self.keep_outcomes_days
        return storage

    def backends_for(self, *urls: str) -> Mapping[str, StorageBackend]:
        """Return the backend of each scheme of storage URLs. Installed plugins are loaded only if one of `urls` needs them."""
        built_in = builtin_storages.register_storage()
        return built_in if all(scheme(url) in built_in for url in urls) else self.load_plugins().backends()


def variable(name: str) -> str:
    """Return the name of a setting's environment variable."""
    return LINQS_OWN.get(name, PREFIX + name.upper())


def how_to_set_key(usually: str) -> str:
    """Return what to do if LINQ_API_V3_API_KEY is not set: read the file `.env`, if that has the token; or else `usually`."""
    try:
        lines = written_text(Path(".env")).splitlines()
    except (OSError, UnicodeDecodeError):
        return usually
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines)
    if not any(name.strip() == LINQS_OWN["api_key"] and value.strip() for name, _, value in pairs):
        return usually
    return (
        "The file .env has it, but linqbot does not read that file. With uv, run this first: export UV_ENV_FILE=.env "
        "(without uv: set -a; . ./.env; set +a)"
    )


def from_env(environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Read the settings. For each setting `given` wins over the environment, and the environment over `linqbot.toml`.

    Args:
        given: Values of settings, such as a command's options; None leaves a setting to the environment.
    Raises:
        ConfigError: a value is not valid, a name is unknown, or a file cannot be read. The message never shows the
            value.
    """
    environ = os.environ if environ is None else environ
    variables = _from_environ(environ)
    _refuse_unknown(given, "from_env() got")
    given = {name: value for name, value in given.items() if value is not None}

    def place(name: str) -> str:
        if name in given:
            return name
        return variable(name) if name in variables else f"{name} in {_FILE}"

    values = _from_file() | variables | given
    if "api_key" in values:
        values.pop("api_key_file", None)
    elif "api_key_file" in values:
        values["api_key"] = _key_in(Path(values["api_key_file"]), place("api_key_file"))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = str(first["loc"][0])
        raise SettingWrong(f"{place(name)} does not fit: {first['msg']}. See: linqbot serve --help") from error


def _from_environ(environ: Mapping[str, str]) -> dict[str, str]:
    variables = {variable(name): name for name in Settings.model_fields}
    for name in environ:
        if name.startswith((PREFIX, LINQS_PREFIX)) and name not in variables:
            near = nearest_name(name, variables, cutoff=0.85)
            if near and not _is_a_name_of_its_own(name, near, environ):
                raise SettingWrong(f"{name} is not a setting. Did you mean {near}?")
    # An empty variable counts as not set, except for the list of plugins, where empty means no plugin.
    values = {name: unquoted(environ[key]) for key, name in variables.items() if key in environ}
    return {name: value for name, value in values.items() if value or name == "plugins"}


def _is_a_name_of_its_own(name: str, near: str, environ: Mapping[str, str]) -> bool:
    """Return True if a variable of Linq is not a misspelt setting, although it is near to one.

    Then the setting itself is given too; or the variable is for another version of Linq's API, as LINQ_API_V2_API_KEY; or
    it is the setting's name with one more word, as LINQ_WEBHOOK_SECRET_OLD. The word FILE does not count: it is how
    linqbot names settings that are read from files.
    """
    if name.startswith(PREFIX):
        return False
    version, of_near = ("".join(filter(str.isdigit, each)) for each in (name, near))
    is_longer = name.startswith(f"{near}_") and not name.endswith("_FILE")
    return near in environ or is_longer or version not in {"", of_near}


def _key_in(path: Path, place: str) -> str:
    try:
        if not (key := unquoted(written_text(path))):
            reason: str | None = "it is empty"
        elif key.isascii():
            return key
        else:
            reason = "it does not hold a token"
    except OSError as error:
        reason = error.strerror
    except UnicodeDecodeError:
        reason = "it does not hold a token"
    raise ConfigError(f"{place} is {path}, which cannot be read: {reason}. Correct it.")


def _from_file() -> dict[str, Any]:
    try:
        text = written_text(_FILE)
        # Imported late: in production, most bots have all settings in the environment.
        import tomllib

        values = tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except OSError as error:
        # Also if there is no such file, in a folder that this user may not enter.
        raise SettingWrong(
            f"{_FILE.absolute()} cannot be read: {error.strerror}. Let this user read the file and its folder, or change to "
            "the folder of the bot."
        ) from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise SettingWrong(f"{_FILE} cannot be read as TOML: {error}. Correct it, or remove it.") from error
    _refuse_unknown(values, f"{_FILE} sets")
    return values


def _refuse_unknown(names: Iterable[str], who: str) -> None:
    for name in names:
        if name not in Settings.model_fields:
            near = nearest_name(name, Settings.model_fields)
            hint = f"Did you mean {near}?" if near else "See: linqbot serve --help"
            raise SettingWrong(f"{who} {name}, which is not a setting. {hint}")
