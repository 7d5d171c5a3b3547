"""The SQLite file: open it, bring its schema up to date, notice if it is replaced, and remove deleted text from it.

Opening creates the file, sets its pragmas, and checks that it is linqbot's. A file that is deleted, replaced or hidden
by a mount stays open: SQLite goes on writing to it without an error, and everything written is lost with the process.
So `Place` compares the paths with the opened files after each COMMIT and once a second. While they differ, every
transaction is refused before it begins, also those of running turns. A send that is recorded in a file which no process
opens again would be made a second time after the restart, and WAL frames would no longer fit the file that is now at
the path. A turn that waits to write its end can still write it when the file comes back.

Deleted text stays in the file and in its WAL. There are three ways to remove it:

- Text of a line that keeps nothing (zero retention) is stored behind `PADDING`, so it lies in overflow pages, and
  `overwrite_freed` makes SQLite overwrite those when they are freed. See the schema for the reason.
- `truncate` copies the WAL into the file and empties it. Until then the WAL holds every version of every page. It costs
  two syncs, so it is done within a minute after a text was deleted, and only while lines that keep nothing are served.
- `wipe` writes the whole file again. Only this removes text that was stored without padding: SQLite leaves copies of
  rows that it moved in free space, even with secure_delete. Measured: 8 of 100,000 rows. No other connection can write
  meanwhile, so only a small file is written again next to a server: see `sqlite/upkeep.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE, S_IRWXO, S_IRWXU, S_ISDIR
from typing import Final

import structlog

from linqbot.errors import ConfigError, StorageMisplaced, StorageUnavailable
from linqbot.storage.backend import NewerSchema
from linqbot.storage.dialect import schemas_in

APPLICATION_ID = 0x6C696E71
"""`linq` in ASCII, in the header of the file. `file linqbot.db` shows it, and files of other programs are refused."""

_NO_RIGHT: Final = {errno.EACCES, errno.EPERM}
_NO_PERMISSION: Final = {*_NO_RIGHT, errno.EROFS}
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SQLITE_NO_PERMISSION: Final = {sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}

BUSY_TIMEOUT_MS = 5000
"""Milliseconds to wait for the transaction of another process; those of commands are short."""


def prepare(path: Path, *, create: bool = True) -> None:
    """Make sure that the file exists, with `create` if necessary. Only its owner can read it: messages are private.

    Raises ConfigError, or StorageUnavailable if the file cannot be opened.
    """
    require_folder(path)
    try:
        refuse_folder(path)
        if create and not path.exists():
            # -wal and -shm inherit the permissions of this file.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        else:
            check_rights(path)
    except FileNotFoundError:
        raise StorageMisplaced(
            f"There is no storage file {path}. Check LINQBOT_STORAGE, or --storage; linqbot serve creates the file."
        ) from None
    except OSError as error:
        raise cannot_be_opened(path, error) from error
    if path.stat().st_nlink > 1:
        # The serving lock and the write-ahead log go by the name: two processes that use two names damage the file.
        raise ConfigError(
            f"The storage file {path} has a second name, a hard link, so a second server could open it and damage it. Remove "
            "the other name, or use a copy: linqbot storage backup."
        )


def require_folder(path: Path) -> None:
    """Raise ConfigError if the folder of the file does not exist, or is in one that this user may not enter."""
    try:
        is_folder = S_ISDIR(path.parent.stat().st_mode)  # not `is_dir`, which hides the reason from Python 3.14 on
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    except OSError as error:
        raise cannot_be_opened(path, error) from error
    if not is_folder:
        raise StorageMisplaced(f"The folder of the storage file {path} does not exist. Create it, or change the path.")


def refuse_folder(path: Path) -> None:
    """Raise ConfigError if the path of the file is that of a folder."""
    if path.is_dir():
        raise StorageMisplaced(f"The storage path {path} is a folder. Name a file in it: sqlite:///{path}/linqbot.db")


def mode_for_all(path: Path) -> int | None:
    """Return the mode of a storage file that every user of the machine may read or write; None for any other file."""
    if sys.platform == "win32":  # where a mode says nothing about other users
        return None
    mode = S_IMODE(path.stat().st_mode)
    return mode if mode & S_IRWXO else None


def tighten(path: Path) -> None:
    """Let only its owner read a storage file that every user may read, as one that was copied with `cp`, and its WAL.

    A mode for the owner and a group, such as 0640, is kept: it was set on purpose, for example for a program that makes backups.
    """
    for each in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        try:
            if (mode := mode_for_all(each)) is not None:
                each.chmod(mode & S_IRWXU)
                log.warning("storage.tightened", file=each.name, mode=f"{mode:04o}", now=f"{mode & S_IRWXU:04o}")
        except FileNotFoundError:
            continue
        except OSError as error:  # of another owner, or on a disk without modes
            log.warning("storage.readable", file=each.name, why="every user may read it", error=error.strerror)


def check_rights(path: Path) -> None:
    """Raise an OSError if this user may not read and write the file.

    The file is not opened: on POSIX, closing it ends all locks that the process holds on it, also those of SQLite's connections. A
    command of another process would then believe that it is alone, and delete `-wal` while the server writes to it.
    """
    path.stat()
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        is_read_only = hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY
        reason = errno.EROFS if is_read_only else errno.EACCES
        raise OSError(reason, os.strerror(reason))


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection without implicit transactions. Any thread may use it, but one at a time.

    A file that is missing is not created: an empty one in the place of one that was moved away would be served. Raises
    ConfigError for a file that is not SQLite's, or StorageUnavailable.
    """
    register_adapters()
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
    except sqlite3.Error as error:
        raise cannot_be_opened(path, error) from error
    try:
        _set_pragmas_in_turn(db)
    except sqlite3.DatabaseError as error:
        db.close()
        if primary_code(error) == sqlite3.SQLITE_NOTADB:
            raise not_sqlite(path) from error
        raise cannot_be_opened(path, error) from error
    return db


def not_sqlite(path: Path) -> StorageMisplaced:
    return StorageMisplaced(f"{path} is not an SQLite file. Move it away, or choose another path.")


def primary_code(error: sqlite3.Error) -> int:
    """Return the kind of an error, such as `sqlite3.SQLITE_BUSY`; 0 for errors of Python's sqlite3 module itself."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def cannot_be_opened(
    path: Path, error: OSError | sqlite3.Error, *, what: str = "storage file"
) -> ConfigError | StorageUnavailable:
    """Return the error for a file that cannot be opened. If that is a matter of permissions, it says who needs which.

    A right that this user lacks is a ConfigError: no later start would have it. A disk may be read-only for a time.
    """
    if isinstance(error, OSError):
        reason, may_not_write = error.strerror, error.errno in _NO_PERMISSION
    elif primary_code(error) in _DAMAGED:
        return _damaged(path, error)
    else:
        reason, may_not_write = str(error), primary_code(error) in _SQLITE_NO_PERMISSION
    message = f"The {what} {path} cannot be opened: {reason}."
    if may_not_write:
        message += (
            f" Let this user write to the file and to its folder {path.parent.resolve()}, or set LINQBOT_STORAGE to a file "
            "elsewhere."
        )
    if isinstance(error, OSError) and error.errno in _NO_RIGHT:
        return StorageMisplaced(message)
    return StorageUnavailable(message)


def unusable(path: Path, error: sqlite3.Error, otherwise: str) -> StorageUnavailable:
    """Return the error for a file that SQLite could not use; `otherwise` is the message if the file is not damaged."""
    if primary_code(error) in _DAMAGED:
        return _damaged(path, error)
    if primary_code(error) == sqlite3.SQLITE_FULL:
        otherwise += " Make room on the disk."
    return StorageUnavailable(otherwise)


@contextlib.contextmanager
def translated(path: Path, what: str, advice: str = "") -> Iterator[None]:
    """Raise errors of SQLite as StorageUnavailable. `what` begins the message, such as "bot.db cannot be read"."""
    try:
        yield
    except sqlite3.Error as error:
        raise unusable(path, error, f"{what}: {error}.{advice}") from error


def _damaged(path: Path, reason: sqlite3.Error) -> StorageUnavailable:
    return StorageUnavailable(f"{path.name} is damaged: {reason}. Restore a backup, as docs/storage.md says.")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to date, in one transaction. What it raises has changed nothing."""
    try:
        with transaction(db):
            _migrate(db, path)
    except sqlite3.Error as error:
        if primary_code(error) == sqlite3.SQLITE_BUSY:
            raise StorageUnavailable(f"Another process keeps {path} locked. Try again when it has finished.") from error
        raise StorageUnavailable(f"The schema of {path} could not be brought up to date: {error}.") from error


def is_up_to_date(db: sqlite3.Connection) -> bool:
    """Return True if the file is linqbot's and has the newest schema. Unlike `migrate`, it needs no write lock."""
    (have,) = db.execute("PRAGMA user_version").fetchone()
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    return bool(owner == APPLICATION_ID and have == newest_schema())


def sync_wal(db: sqlite3.Connection) -> None:
    """Move what a killed process left in the WAL into the file, and sync both.

    The WAL may hold commits whose fsync was interrupted or has failed. SQLite takes them for durable, but they may be in
    the memory of the operating system only. A power loss would cut the WAL off at the first of them, and so lose all
    later commits too. After this call the next commit starts the WAL again.
    """
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def schema_of(db: sqlite3.Connection, path: Path) -> int:
    """Return the number of the newest schema that was applied; 0 if the file is empty. Raises NewerSchema for an unknown one."""
    (have,) = db.execute("PRAGMA user_version").fetchone()
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and owner != APPLICATION_ID:
        raise StorageMisplaced(f"{path} is a database of another program. Choose another path for the storage.")
    NewerSchema.refuse(have, newest_schema(), str(path), instead="storage file")
    return int(have)


def newest_schema() -> int:
    return max(schemas())


def register_adapters() -> None:
    """Let the sqlite3 module store bytes, None and bools at once.

    Without an adapter, written in C, it searches each such value and its type for a method: over 2,000 instructions.
    Numbers and texts are never searched.
    """
    sqlite3.register_adapter(bytes, bytes.__bytes__)
    sqlite3.register_adapter(type(None), {None: None}.get)
    sqlite3.register_adapter(bool, int)


def _set_pragmas_in_turn(db: sqlite3.Connection) -> None:
    """Set the pragmas, after another process that sets them on a new file: SQLite refuses the second at once."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            _set_pragmas(db)
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _set_pragmas(db: sqlite3.Connection) -> None:
    # For a new file. Both are SQLite's defaults, but a build may change them, and the schema's padding needs them. With
    # auto_vacuum, a purge could shorten the file, but every echo would write 1 % more pages: measured. New rows take free pages.
    db.execute("PRAGMA page_size = 4096")
    db.execute("PRAGMA auto_vacuum = NONE")
    db.execute("PRAGMA journal_mode = WAL")
    # FULL: in WAL mode NORMAL syncs at checkpoints only, so a power cut could lose deliveries answered with 200.
    db.execute("PRAGMA synchronous = FULL")
    # macOS: an ordinary fsync leaves the data in the cache of the drive.
    db.execute("PRAGMA fullfsync = ON")
    # Zero deleted rows where that costs no extra write. Debian's default would zero whole freed pages, so each body
    # would be written twice. Only a file with text off the record needs that: see `wipe`.
    db.execute("PRAGMA secure_delete = FAST")
    # 16 MiB of WAL before a checkpoint: it syncs twice, and under load its commit is the slowest.
    db.execute("PRAGMA wal_autocheckpoint = 4000")
    # KiB. A small cache is enough: most pages are read once, and recent deliveries are in the index.
    db.execute("PRAGMA cache_size = -600")
    db.execute("PRAGMA journal_size_limit = 67108864")


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    have = schema_of(db, path)
    every = schemas()
    for number in sorted(number for number in every if number > have):
        for statement in _statements(every[number]):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number}")
    if not have:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("INSERT INTO meta (key, value) VALUES ('install', ?)", (secrets.token_hex(16),))


def schemas() -> dict[int, str]:
    return schemas_in("linqbot.storage.sqlite")


def _statements(script: str) -> Iterator[str]:
    # Not executescript: it commits first, so a crash could leave a file half-way between two schemas.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


log = structlog.get_logger("linqbot.storage")

_SUFFIXES = ("-wal", "-shm")
"""Suffixes of the files that SQLite keeps open next to the database: commits go there first, and processes share it."""


class Place:
    """The files of one database, and their identities when they were opened.

    This class never opens a file: closing it again would drop the locks that SQLite holds on it for this process.
    """

    def __init__(self, path: Path) -> None:
        self.lost: str | None = None
        self._path = path
        self._opened: dict[str, os.stat_result] = {}
        self._changing = threading.Lock()

    def opening(self) -> None:
        """Remember the file that is about to be opened."""
        self.lost = None
        self._opened = {}
        self._remember(self._path)

    def opened(self) -> None:
        for suffix in _SUFFIXES:
            self._remember(self._path.with_name(self._path.name + suffix))
        self.check()

    def check(self) -> None:
        """Check the paths now, and log when files are lost and are back. Raises StorageUnavailable while they are lost."""
        lost = self._find_lost()
        with self._changing:
            before, self.lost = self.lost, lost
        if lost and not before:
            log.error("storage.lost", error=lost)
        elif before and not lost:
            log.info("storage.found", file=str(self._path))
        if lost:
            raise StorageUnavailable(lost)

    def _remember(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._opened[str(path)] = path.stat()

    def _find_lost(self) -> str | None:
        """Return what happened to a file that is not in its place, and what to do about it; None if all are."""
        for path, was in self._opened.items():
            try:
                # os.stat: Path.stat takes twice as long, and this runs for every commit.
                now = os.stat(path)  # noqa: PTH116
            except OSError as error:
                return self._lost(path, error)
            if not _is_same(now, was):
                return self._lost(path)
        return None

    def _lost(self, path: str, error: OSError | None = None) -> str:
        """Return what happened to a file and what to do about it. Without an error, another file is in its place."""
        if isinstance(error, FileNotFoundError):
            what = "is gone: it was deleted or moved, or something was mounted over it"
            to_do = (
                "Put the same file back. If it was deleted, do not stop linqbot, which has the only copy: rescue it as "
                "docs/storage.md says."
            )
        elif error is not None:
            what = f"cannot be looked at: {error.strerror}"
            to_do = "Let linqbot see it again."
        else:
            what = "is not the file that linqbot opened: it was replaced"
            # SQLite applies a -wal to any file next to it. Applied to an older file, it does damage.
            wal, shm = (self._path.name + suffix for suffix in _SUFFIXES)
            to_do = (
                "Put the former file back; or stop linqbot and start it again, which alone uses the file that is there "
                f"now. If that is an older copy, such as a backup, move {wal} and {shm} away before the start."
            )
        if path != str(self._path):
            # When SQLite closes, it moves the content of an unlinked -wal into the file, if that is in its place.
            to_do = f"Stop linqbot with SIGTERM, not SIGKILL, which completes {self._path.name}, and start it again."
        return f"The storage file {path} {what}. Nothing is stored until it is back. {to_do}"


def _is_same(now: os.stat_result, was: os.stat_result) -> bool:
    # The inode is 0 on file systems without inode numbers, and on Windows for a file that another program holds.
    if not (now.st_ino and was.st_ino):
        return True
    return (now.st_ino, now.st_dev) == (was.st_ino, was.st_dev) and bool(now.st_nlink or not was.st_nlink)


PAGE_BYTES: Final = 4096

PADDING: Final = bytes(PAGE_BYTES)

_TURN_MS: Final = 100


def overwrite_freed(db: sqlite3.Connection) -> None:
    """Overwrite every page that this connection frees from now on, which costs one write per page."""
    db.execute("PRAGMA secure_delete = ON")


def note_off_the_record(db: sqlite3.Connection) -> None:
    """Record that the file holds text off the record, or ever did. Call it in the transaction that stores the text."""
    db.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('off_the_record', '1')")


def is_off_the_record(db: sqlite3.Connection) -> bool:
    """Return True if the file holds text off the record, or ever did."""
    return db.execute("SELECT 1 FROM meta WHERE key = 'off_the_record'").fetchone() is not None


def used_bytes(db: sqlite3.Connection) -> int:
    """Return the size of the file without its free pages, which is that of a copy of it."""
    (pages,), (free,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count"))
    return int(pages - free) * PAGE_BYTES


def wipe(db: sqlite3.Connection, patience_s: float) -> bool:
    """Write the whole file again, without deleted bytes. False: the file was busy, or no room for a copy.

    Meanwhile no other connection can write.
    """
    try:
        db.execute("VACUUM")
    except sqlite3.OperationalError:
        return False
    if not truncate_in_turn(db, patience_s):
        return False
    db.execute("DELETE FROM meta WHERE key = 'unwiped'")
    return True


def truncate_in_turn(db: sqlite3.Connection, patience_s: float) -> bool:
    """Copy the WAL into the file and empty it, as soon as no other connection reads from it. False: not in time.

    The first checkpoint copies nearly everything, while others write. The second waits only for a moment, in which none can
    write, and is refused at once while another connection makes one. So it is tried until it has its turn.
    """
    until = time.monotonic() + patience_s
    db.execute(f"PRAGMA busy_timeout = {_TURN_MS}")
    while True:
        with contextlib.suppress(sqlite3.OperationalError):
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if truncate(db):
            return True
        if time.monotonic() > until:
            return False
        time.sleep(_TURN_MS / 1000)


def truncate(db: sqlite3.Connection) -> bool:
    """Copy the WAL into the file and empty it. Return False if another connection still reads from the WAL."""
    try:
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:
        return False
    return not busy
