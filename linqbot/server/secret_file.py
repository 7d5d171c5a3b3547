"""Signing secrets in a file: what `linqbot webhooks` keeps of Linq's one answer, and what a running server reads again.

One secret a line, with its subscription's id behind it where that is known; `#` begins a comment. What Docker or
Kubernetes mounts, a secret and nothing else, is such a file too. A server notices a changed file by itself, so that a
secret can be rotated without a restart.
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

from linqbot.errors import ConfigError
from linqbot.webhooks import Secret

log = structlog.get_logger("linqbot.server")

LOOK_EVERY_S: Final = 10.0
"""How long a secret that was taken out of the file may still be believed."""

_ENDING = "ending"
_HEAD = (
    "# Signing secrets of Linq's webhooks, each with its subscription. Written by linqbot webhooks. Keep it private.\n"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A line of the file.

    Attributes:
        subscription_id: None where somebody else wrote it.
        is_ending: Its subscription is being deleted, or has been.
    """

    secret: str = field(repr=False)
    subscription_id: str | None = None
    is_ending: bool = False


class SecretFile:
    """A file of signing secrets, readable by its owner only when we write it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Kept, ...]:
        """What it holds; nothing when there is no file.

        Raises:
            ConfigError: it cannot be read, or holds what is no secret.
        """
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The secret file {self.path} cannot be read: {_reason(error)}. Let its reader be who runs linqbot."
            ) from error
        kept = tuple(_kept(words) for line in text.splitlines() for words in _entries(line))
        for each in kept:
            Secret.parse(each.secret)
        return kept

    def keep(self, secret: str, subscription_id: str) -> None:
        """Add a subscription's secret, on disk when this returns.

        Raises:
            ConfigError: it cannot be written; says why.
        """
        others = [each for each in self.read() if subscription_id != each.subscription_id and secret != each.secret]
        self._write([*others, Kept(secret, subscription_id)])

    def drop(self, subscription_id: str) -> bool:
        """Take a subscription's secret out. True if it was there."""
        kept = self.read()
        left = [each for each in kept if each.subscription_id != subscription_id]
        if len(left) < len(kept):
            self._write(left)
        return len(left) < len(kept)

    def mark_ending(self, subscription_id: str) -> None:
        """Note that a subscription is about to be deleted, so that its secret can be dropped whatever happens."""
        kept = self.read()
        self._write(
            [replace(each, is_ending=True) if each.subscription_id == subscription_id else each for each in kept]
        )

    def prepare(self) -> None:
        """Make sure that it can be written, before something is asked for that is shown only once.

        Raises:
            ConfigError: it cannot be written; says why.
        """
        self._write(self.read())

    def stamp(self) -> tuple[int, int, int] | None:
        """Changes whenever the file does; None when there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _write(self, kept: Sequence[Kept]) -> None:
        path = self.path.resolve()  # a link stays one
        try:
            _make_private_folder(path.parent)
            new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            try:
                # Made readable by nobody else, not made so afterwards; and whole before it has its name.
                fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(fd, "w", encoding="utf-8") as file:
                    file.write(_HEAD + "".join(map(_line, kept)))
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)
            _sync_folder(path.parent)
        except OSError as error:
            raise ConfigError(
                f"The secret file {self.path} cannot be written: {_reason(error)}. "
                "Name another one with LINQ_WEBHOOK_SECRET_FILE."
            ) from error


class KnownSecrets:
    """The secrets a server believes: those it was given, and those of a file, which may change meanwhile.

    Raises:
        ConfigError: there is none at all, or one is not base64.
    """

    def __init__(self, given: Sequence[str], file: SecretFile | None = None) -> None:
        self._given = tuple(Secret.parse(each) for each in given)
        self._file = file
        self._stamp = file.stamp() if file else None
        self._looked_at = 0.0
        self.current = self._given + (_parsed(file) if file else ())
        if not self.current:
            where = f" and {file.path} holds none" if file else ""
            raise ConfigError(
                f"LINQ_WEBHOOK_SECRET is not set{where}, so no webhook could be verified. "
                "Subscribe with: linqbot webhooks sync bot.py --url https://your.host; it keeps the secret. Or set "
                "LINQ_WEBHOOK_SECRET to what Linq showed when the subscription was created, or try: linqbot dev"
            )

    def look(self, now: float, *, after_s: float = 0.0) -> bool:
        """Read the file again if it has changed. A file that cannot be read, or is gone, takes nothing away.

        Args:
            now: Unix seconds.
            after_s: Not if the last look was less than so long ago.
        Returns:
            Whether there are other secrets now.
        """
        if self._file is None or abs(now - self._looked_at) < after_s:
            return False
        # Once for every refused delivery, too: a stat costs less than the digest that refused it.
        self._looked_at = now
        stamp = self._file.stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            fresh = self._given + _parsed(self._file)
        except ConfigError as error:
            log.error("secrets.unreadable", error=str(error))
            return False
        if not fresh or fresh == self.current:
            return False
        self.current = fresh
        log.info("secrets.changed", count=len(fresh))
        return True


def _parsed(file: SecretFile) -> tuple[Secret, ...]:
    return tuple(Secret.parse(each.secret) for each in file.read())


def _entries(line: str) -> list[list[str]]:
    # Commas, too: LINQ_WEBHOOK_SECRET has them, and what was in it may be mounted as a file one day.
    return [words for entry in line.partition("#")[0].split(",") if (words := entry.split())]


def _kept(words: list[str]) -> Kept:
    return Kept(words[0], words[1] if len(words) > 1 else None, is_ending=_ENDING in words[2:])


def _line(kept: Kept) -> str:
    return " ".join(filter(None, (kept.secret, kept.subscription_id, _ENDING if kept.is_ending else None))) + "\n"


def _make_private_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise PermissionError(0, f"everybody may write into {folder}; chmod o-w it") from None
    else:
        # Made for secrets, so it never belongs into a repository, whatever that ignores.
        (folder / ".gitignore").write_text("*\n")


def _sync_folder(folder: Path) -> None:
    with suppress(OSError, AttributeError):  # Windows cannot open a folder
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _reason(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is no text"
