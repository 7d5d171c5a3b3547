"""Text files that people write by hand: settings, tokens, secrets, lists. One reader, so that each editor and system will do.

Editors on Windows begin a file with a byte order mark and end its lines with CR LF; people put a token into the quotes that
another program wants. The encoding is UTF-8 wherever the machine comes from: the locale decides nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_QUOTES: Final = ("'", '"')


def written_text(path: Path) -> str:
    r"""Return the text of a file that a person wrote, without a byte order mark and with `\n` at the end of each line.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: the file is not UTF-8. It is a ValueError.
    """
    return path.read_text("utf-8-sig")


def unquoted(value: str) -> str:
    """Return a value without the white space and the pair of quotes around it, as Docker's `--env-file` leaves them there."""
    value = value.strip()
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in _QUOTES
    return value[1:-1].strip() if is_quoted else value
