"""Rules of uploads (R91, R92)."""

from __future__ import annotations

from typing import Any

import pytest
from rules.asking import body, broke

from linqbot.linq.rules import CONTENT_TYPES, Broken


def upload(**fields: Any) -> Broken | None:
    return body("attachments.create", **{"filename": "a.png", "content_type": "image/png", "size_bytes": 1, **fields})


@pytest.mark.parametrize("size", [0, -1, 100 * 2**20 + 1, "5", True])
def test_R91_an_upload_has_1_byte_to_100_megabytes(size: Any) -> None:
    assert broke(upload(size_bytes=size), "R91")
    assert upload(size_bytes=100 * 2**20) is None


@pytest.mark.parametrize("kind", ["audio/flac", "audio/ogg", "application/x-msdownload", "image", 5])
def test_R92_an_upload_is_of_a_type_linq_takes(kind: Any) -> None:
    assert broke(upload(content_type=kind), "R92")
    assert len(CONTENT_TYPES) == 51
    assert all(upload(content_type=each) is None for each in CONTENT_TYPES)
