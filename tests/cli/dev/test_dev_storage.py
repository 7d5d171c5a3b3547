"""The storage of `linqbot dev`, as commands with --dev find it in the folder for temporary files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from linqbot.cli.storage_option import FILE, find_storage, folder_prefix


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which every user may write into."""
    project, folder = tmp_path / "project", tmp_path / "temporary"
    project.mkdir()
    folder.mkdir()
    (project / "production.db").write_bytes(b"")
    monkeypatch.chdir(project)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_folder_of_this_user_is_found(temporary: Path) -> None:
    folder = temporary / f"{folder_prefix()}1"
    folder.mkdir()
    (folder / FILE).write_bytes(b"")
    assert find_storage() == folder / FILE


def test_a_link_in_place_of_the_folder_is_not_followed(temporary: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / FILE).write_bytes(b"")
    (temporary / f"{folder_prefix()}1").symlink_to(elsewhere)
    assert find_storage() is None


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="Only root can give a folder to another user."
)
def test_a_link_that_another_user_made_to_a_file_of_this_user_is_not_followed(temporary: Path) -> None:
    folder = temporary / f"{folder_prefix()}1"
    folder.mkdir()
    (folder / FILE).symlink_to(Path("production.db").resolve())
    os.chown(folder, 65534, 65534)
    assert find_storage() is None
