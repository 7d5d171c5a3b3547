"""A digest of a handler's code, to find out if it has changed while a question was open."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any


@lru_cache
def code_digest(handler: Any) -> str:
    """Return a digest of a handler's code and of the file that holds it.

    The file is included for the functions that the handler calls. Both are equal in every process that runs the same
    release of the bot on the same Python.
    """
    digest = hashlib.blake2b(digest_size=8)
    code = getattr(inspect.unwrap(handler), "__code__", None)
    if isinstance(code, CodeType):
        _add(code, digest)
        with contextlib.suppress(OSError):  # code without a file, such as that of a notebook
            digest.update(Path(code.co_filename).read_bytes())
    return digest.hexdigest()


def _add(code: CodeType, digest: Any) -> None:
    digest.update(code.co_code + repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add(constant, digest)
        elif not isinstance(constant, frozenset):  # the order of its elements differs from process to process
            digest.update(repr(constant).encode())
