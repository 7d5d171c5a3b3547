"""Signing secrets in a file. `linqbot connect` writes it, because Linq shows a secret only once; a server reads it.

The file holds one secret per line, followed by the id of its subscription if that is known; `#` begins a comment. A
file that Docker or Kubernetes mounts, with nothing but a secret, is valid too. A running server notices a changed file,
so a secret can be rotated without a restart. `linq/signatures.py` verifies signatures with these secrets.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import structlog

from linqbot.errors import ConfigError, SecretMissing
from linqbot.linq.signatures import Secret
from linqbot.text_files import unquoted, written_text

log = structlog.get_logger("linqbot.server")

REFRESH_EVERY_S: Final = 10.0
"""Seconds between two looks at the file. For so long a secret that was removed from the file may still be accepted."""

_ENDING = "ending"
_HEAD = (
    "# Signing secrets of Linq's webhooks, each with its subscription. Written by linqbot connect. Keep it private.\n"
)


@dataclass(slots=True)
class SecretEntry:
    """A secret in the file, with its subscription if linqbot wrote the line.

    `is_ending`: the subscription is being deleted or has been deleted.
    """

    secret: str = field(repr=False)
    subscription_id: str | None = None
    is_ending: bool = False


class SecretFile:
    """A file of signing secrets. When linqbot writes it, only its owner can read it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[SecretEntry, ...]:
        """Return the secrets in the file; none if there is no file. Raises ConfigError if one cannot be read."""
        try:
            text = written_text(self.path)
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The secret file {self.path} cannot be read: {_reason(error)}. Let the user who runs linqbot read it."
            ) from error
        entries = tuple(_entry(words) for line in text.splitlines() for words in _split(line))
        try:
            for entry in entries:
                Secret.parse(entry.secret)
        except SecretMissing as error:
            raise SecretMissing(f"The secret file {self.path} has a wrong line: {error}") from None
        return entries

    def keep(self, secret: str, subscription_id: str) -> None:
        """Add a subscription's secret. It is on disk when this returns. Raises ConfigError with the reason why it is not."""
        others = [each for each in self.read() if subscription_id != each.subscription_id and secret != each.secret]
        self._write([*others, SecretEntry(secret, subscription_id)])

    def drop(self, subscription_id: str) -> bool:
        """Remove a subscription's secret. Return True if it was in the file. Raises ConfigError as `keep` does."""
        entries = self.read()
        left = [each for each in entries if each.subscription_id != subscription_id]
        if len(left) < len(entries):
            self._write(left)
        return len(left) < len(entries)

    def mark_ending(self, subscription_id: str) -> None:
        """Note that a subscription is about to be deleted. Raises ConfigError as `keep` does.

        If the command that deletes it is interrupted, a later command still sees that the secret can be removed.
        """
        self._write(
            [replace(each, is_ending=True) if each.subscription_id == subscription_id else each for each in self.read()]
        )

    def prepare(self) -> None:
        """Raise ConfigError if the file cannot be written, before Linq is asked for a secret that it shows only once."""
        self._write(self.read())

    def stamp(self) -> tuple[int, int, int] | None:
        """Return a value that changes whenever the file changes; None if there is no file."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _write(self, entries: Sequence[SecretEntry]) -> None:
        path = self.path.resolve()  # a symbolic link stays in place; its target is replaced
        try:
            _make_private_folder(path.parent)
            write_private(path, (_HEAD + "".join(map(_line, entries))).encode())
        except OSError as error:
            raise ConfigError(
                f"The secret file {self.path} cannot be written: {_reason(error)}. "
                "Name another one with LINQ_WEBHOOK_SECRET_FILE."
            ) from error


class KnownSecrets:
    """The secrets that a server accepts: those given to it, and those in a file that may change while it runs.

    `subscription_ids` are those whose secrets are in the file. Raises ConfigError if there is no secret, or one is not
    base64.
    """

    def __init__(self, given: Sequence[str], file: SecretFile | None = None) -> None:
        try:
            self._given = tuple(Secret.parse(each) for each in ([given] if isinstance(given, str) else given))
        except SecretMissing as error:
            raise SecretMissing(f"LINQ_WEBHOOK_SECRET, or secrets=, does not fit: {error}") from None
        self._file = file
        self._stamp = file.stamp() if file else None
        self._refreshed_at = 0.0
        self.current, self.subscription_ids = self._read()
        if not self.current:
            where = f" and {file.path} holds no secret" if file else ""
            raise SecretMissing(
                f"LINQ_WEBHOOK_SECRET is not set{where}, so no webhook could be verified. "
                "Subscribe with: linqbot connect sync bot.py --url https://your.host; it keeps the secret. Or set "
                "LINQ_WEBHOOK_SECRET to what Linq showed when the subscription was created, or try: linqbot dev"
            )

    def _read(self) -> tuple[tuple[Secret, ...], frozenset[str]]:
        """Return all secrets, and the ids of the subscriptions whose secrets are in the file."""
        entries = self._file.read() if self._file else ()
        secrets = self._given + tuple(Secret.parse(each.secret) for each in entries)
        return secrets, frozenset(each.subscription_id for each in entries if each.subscription_id is not None)

    def refresh(self, now: float, *, after_s: float = 0.0) -> bool:
        """Read the file again if it has changed, and return True if the accepted secrets have.

        If it cannot be read or is gone, the known secrets stay. Nothing is done if the last refresh was less than
        `after_s` ago.
        """
        if self._file is None or abs(now - self._refreshed_at) < after_s:
            return False
        # This runs for every refused delivery too: a stat costs less than the digest that refused the delivery.
        self._refreshed_at = now
        stamp = self._file.stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        before = self.current
        try:
            fresh, ids = self._read()
        except ConfigError as error:
            log.error("secrets.unreadable", error=str(error))
            return False
        if fresh:
            self.current, self.subscription_ids = fresh, ids
        if self.current == before:
            return False
        log.info("secrets.changed", count=len(fresh))
        return True


def _split(line: str) -> list[list[str]]:
    # By commas too: the value of LINQ_WEBHOOK_SECRET has commas, and may be mounted as a file later.
    return [words for entry in line.partition("#")[0].split(",") if (words := entry.split())]


def _entry(words: list[str]) -> SecretEntry:
    return SecretEntry(unquoted(words[0]), words[1] if len(words) > 1 else None, is_ending=_ENDING in words[2:])


def _line(entry: SecretEntry) -> str:
    return " ".join(filter(None, (entry.secret, entry.subscription_id, _ENDING if entry.is_ending else None))) + "\n"


def _make_private_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise PermissionError(0, f"every user may write into {folder}; run chmod o-w {folder}") from None
    else:
        # The folder was made for secrets, so no repository may include it, even if its own .gitignore does not name it.
        (folder / ".gitignore").write_text("*\n")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in place of an earlier one. It is on disk when this returns."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        # Private from its creation on, not by a later chmod; and complete before it gets its name.
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError, AttributeError):  # Windows cannot open a folder
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _reason(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is not text"
