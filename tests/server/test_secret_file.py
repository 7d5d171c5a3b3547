"""Secrets in a file: private, written completely or not at all, and noticed by a running server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linqbot.errors import ConfigError
from linqbot.linq.signatures import Secret
from linqbot.server.secret_file import KnownSecrets, SecretEntry, SecretFile

ONE = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
TWO = "whsec_" + "QUJD" * 10
NOW = 1_793_900_000.0


@pytest.fixture
def file(tmp_path: Path) -> SecretFile:
    return SecretFile(tmp_path / ".linqbot" / "webhook-secret")


def test_a_kept_secret_is_read_with_its_subscription(file: SecretFile) -> None:
    assert file.read() == ()
    file.keep(ONE, "s1")
    file.keep(TWO, "s2")
    assert file.read() == (SecretEntry(ONE, "s1"), SecretEntry(TWO, "s2"))
    assert file.drop("s1")
    assert not file.drop("s1")
    assert file.read() == (SecretEntry(TWO, "s2"),)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_file_and_its_folder_are_private_whatever_the_umask(file: SecretFile, umask: int) -> None:
    before = os.umask(umask)
    try:
        file.keep(ONE, "s1")
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o077 == 0
    assert (file.path.parent / ".gitignore").read_text() == "*\n"
    assert sorted(each.name for each in file.path.parent.iterdir()) == [".gitignore", "webhook-secret"]


def test_a_secret_from_docker_or_kubernetes_is_read(tmp_path: Path) -> None:
    mounted = tmp_path / "data" / "secret"
    mounted.parent.mkdir()
    mounted.write_text(f"{ONE}\n")
    link = tmp_path / "secret"
    link.symlink_to(mounted)
    assert SecretFile(link).read() == (SecretEntry(ONE),)
    mounted.write_text(f"# two\n{ONE} , {TWO} s2\n\n")
    assert SecretFile(link).read() == (SecretEntry(ONE), SecretEntry(TWO, "s2"))
    SecretFile(link).keep(ONE, "s1")
    assert link.is_symlink()
    assert SecretFile(mounted).read() == (SecretEntry(TWO, "s2"), SecretEntry(ONE, "s1"))


def test_a_folder_that_every_user_may_write_into_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="every user may write"):
        SecretFile(tmp_path / "secret").keep(ONE, "s1")
    tmp_path.chmod(0o1777)
    SecretFile(tmp_path / "secret").keep(ONE, "s1")


def test_a_file_that_cannot_be_written_or_read_is_an_error_without_the_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written") as refused:
        SecretFile(tmp_path / "nowhere" / "deep" / "secret").keep(ONE, "s1")
    assert "LINQ_WEBHOOK_SECRET_FILE" in str(refused.value)
    assert "AQID" not in str(refused.value)
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "words").write_text("nonsense!")
    for name, why in (("folder", "cannot be read"), ("bytes", "it is not text"), ("words", "not base64")):
        with pytest.raises(ConfigError, match=why) as wrong:
            SecretFile(tmp_path / name).read()
        assert "nonsense" not in str(wrong.value)


def test_a_write_that_fails_leaves_what_was_there(file: SecretFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.keep(ONE, "s1")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        file.keep(TWO, "s2")
    assert file.read() == (SecretEntry(ONE, "s1"),)
    assert len(list(file.path.parent.iterdir())) == 2


def test_a_file_that_becomes_unreadable_or_is_deleted_removes_no_secret(file: SecretFile) -> None:
    file.keep(ONE, "s1")
    known = KnownSecrets([], file)
    file.path.write_text("nonsense!")
    assert not known.refresh(NOW)
    file.path.unlink()
    assert not known.refresh(NOW + 1)
    assert list(known.current) == [Secret.parse(ONE)]
    file.keep(TWO, "s2")
    assert known.refresh(NOW + 2)
    assert list(known.current) == [Secret.parse(TWO)]


def test_without_any_secret_there_is_no_server(file: SecretFile) -> None:
    with pytest.raises(ConfigError, match="linqbot connect sync"):
        KnownSecrets([], file)
