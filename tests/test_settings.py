from __future__ import annotations

import re
from pathlib import Path

import pytest

from linqbot import settings
from linqbot.errors import ConfigError
from linqbot.settings import Settings, from_env, variable


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_and_with_an_empty_variable_every_setting_has_its_default() -> None:
    assert from_env({}) == from_env({"LINQBOT_PORT": " "}) == Settings()


def test_given_values_win_over_the_environment_and_the_environment_over_the_file(folder: Path) -> None:
    (folder / "linqbot.toml").write_text('port = 1\nhost = "a"\nstorage = "memory://"\n')
    settings = from_env({"LINQBOT_PORT": "2", "LINQBOT_HOST": "b"}, port=3, host=None)
    assert (settings.port, settings.host, settings.storage) == (3, "b", "memory://")


def test_several_secrets_are_separated_by_commas() -> None:
    settings = from_env({"LINQ_WEBHOOK_SECRET": "whsec_AA==, whsec_BB==,"})
    assert settings.webhook_secrets == ("whsec_AA==", "whsec_BB==")


def test_proxies_are_addresses_networks_unix_sockets_or_a_star_alone(subtests: pytest.Subtests) -> None:
    for value in ("10.0.0.0/8", "127.0.0.1,::1,fd00::/8,172.30.77.0/24,unix:", "*"):
        with subtests.test(value=value):
            assert from_env({"LINQBOT_TRUSTED_PROXIES": value}).trusted_proxies == tuple(value.split(","))
    no_address = "entry 2 is neither an IP address"
    rows = dict.fromkeys(("10.0.0.1/8", "10.0.0.0/33", "nginx", "127.0.0.1:80", "127.0.0.1 ::1", "[::1]"), no_address)
    for entry, words in {**rows, "*": r"\* trusts every client, and must stand alone"}.items():
        with (
            subtests.test(entry=entry),
            pytest.raises(ConfigError, match=f"LINQBOT_TRUSTED_PROXIES does not fit: {words}"),
        ):
            from_env({"LINQBOT_TRUSTED_PROXIES": f"::1, {entry}"})


def test_lines_are_phone_numbers_in_e164_form() -> None:
    assert from_env({"LINQBOT_LINES": "+12025550100, +12025550101"}).lines == ("+12025550100", "+12025550101")
    for entry in ("12025550101", "+1 (202) 555-0101", "sales"):
        with pytest.raises(
            ConfigError, match=r"LINQBOT_LINES does not fit: entry 2 is not a phone number in E\.164 form"
        ):
            from_env({"LINQBOT_LINES": f"+12025550100, {entry}"})


def test_secrets_of_posts_are_base64() -> None:
    """Without this check `linqbot serve` said that Linq shows such a secret when a subscription is created."""
    assert from_env({"LINQBOT_POST_SECRETS": "c2VjcmV0LXNlY3JldC1zZWNyZXQ="}).post_secrets
    for entry in ("short", "c2VjcmV0", "no base64 at all, of any length"):
        with pytest.raises(ConfigError, match=r"LINQBOT_POST_SECRETS does not fit: entry 1 is not base64") as caught:
            from_env({"LINQBOT_POST_SECRETS": entry})
        assert entry not in str(caught.value)


def test_linqs_own_variables_keep_their_names() -> None:
    assert variable("api_key") == "LINQ_API_V3_API_KEY"
    assert variable("drain_s") == "LINQBOT_DRAIN_S"


def test_secrets_do_not_show() -> None:
    database = "postgresql://bot:topsecret@db.example.com/bot"
    settings = from_env(
        {"LINQ_API_V3_API_KEY": "topsecret", "LINQ_WEBHOOK_SECRET": "whsec_topsecret", "LINQBOT_STORAGE": database}
    )
    assert "topsecret" not in repr(settings)


def test_a_misspelt_variable_is_refused_with_the_nearest_name(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str]] = [
        ("LINQ_API_V3_APIKEY", "LINQ_API_V3_API_KEY"),
        ("LINQ_API_V3_KEY", "LINQ_API_V3_API_KEY"),
        ("LINQ_API_BASE_URL", "LINQ_API_V3_BASE_URL"),
        ("LINQ_API_V3_BASE_ULR", "LINQ_API_V3_BASE_URL"),
        ("LINQ_API_V3_BASE_URL_FILE", "LINQ_API_V3_BASE_URL"),
        ("LINQ_WEBHOOK_SECRETS", "LINQ_WEBHOOK_SECRET"),
        ("LINQBOT_STORGE", "LINQBOT_STORAGE"),
    ]
    for name, near in rows:
        with (
            subtests.test(name=name),
            pytest.raises(ConfigError, match=rf"{name} is not a setting\. Did you mean {near}\?"),
        ):
            from_env({name: "x"})


def test_an_argument_that_is_no_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match=r"from_env\(\) got webhook_secret, which is not a setting\. Did you mean webhook_secrets\?"
    ):
        from_env({}, webhook_secret="whsec_AA==")


def test_variables_that_are_no_settings_may_belong_to_other_programs(subtests: pytest.Subtests) -> None:
    of_linq = (
        "LINQ_API_V2_API_KEY",
        "LINQ_WEBHOOK_SECRET_OLD",
        "LINQ_API_V3_TIMEOUT",
        "LINQ_WEBHOOK_URL",
        "LINQ_PHONE",
    )
    for name in (*of_linq, "LINQBOT_METRICS_BUCKETS", "PATH"):
        with subtests.test(name=name):
            assert from_env({name: "x"}) == Settings()


def test_a_variable_like_a_setting_is_another_programs_if_the_setting_is_given_too() -> None:
    both = {"LINQ_API_BASE_URL": "http://a.test", "LINQ_API_V3_BASE_URL": "http://b.test"}
    assert from_env(both).base_url == "http://b.test"


def test_a_value_that_does_not_fit_is_named_by_the_place_that_sets_it(folder: Path) -> None:
    (folder / "linqbot.toml").write_text('port = "x"\n')
    with pytest.raises(ConfigError, match=r"^port in linqbot\.toml does not fit"):
        from_env({})
    with pytest.raises(ConfigError, match=r"^LINQBOT_PORT does not fit"):
        from_env({"LINQBOT_PORT": "y"})
    with pytest.raises(ConfigError, match=r"^port does not fit"):
        from_env({"LINQBOT_PORT": "y"}, port="z")
    (folder / "linqbot.toml").write_text('api_key_file = "nowhere"\n')
    with pytest.raises(ConfigError, match=r"^api_key_file in linqbot\.toml is nowhere, which cannot be read"):
        from_env({})


def test_the_base_url_may_be_written_with_its_version() -> None:
    assert from_env({"LINQ_API_V3_BASE_URL": "http://127.0.0.1:4010/v3/"}).base_url == "http://127.0.0.1:4010"


def test_the_token_may_be_in_a_file_as_systemd_docker_and_kubernetes_provide_it(folder: Path) -> None:
    (folder / "key").write_text("token\n")
    of_file = from_env({"LINQ_API_V3_API_KEY_FILE": "key"})
    assert (of_file.api_key, of_file.api_key_file) == ("token", Path("key"))
    own = from_env({"LINQ_API_V3_API_KEY_FILE": "key", "LINQ_API_V3_API_KEY": "own"})
    assert (own.api_key, own.api_key_file) == ("own", None)  # the file is not read later either


def test_a_file_for_the_token_that_cannot_be_read_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"LINQ_API_V3_API_KEY_FILE is nowhere, which cannot be read: No such file"):
        from_env({"LINQ_API_V3_API_KEY_FILE": "nowhere"})
    (folder / "odd").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"cannot be read: it does not hold a token"):
        from_env({"LINQ_API_V3_API_KEY_FILE": "odd"})
    (folder / "empty").write_text("\n")
    with pytest.raises(ConfigError, match=r"LINQ_API_V3_API_KEY_FILE is empty, which cannot be read: it is empty"):
        from_env({"LINQ_API_V3_API_KEY_FILE": "empty"})


def test_every_setting_is_read_somewhere() -> None:
    package = Path(settings.__file__).parent
    files = (*package.rglob("*.py"), *package.parent.glob("plugins/linqbot-operator/linqbot_operator/**/*.py"))
    code = "".join(file.read_text() for file in files)
    read = rf"(?:self|settings|from_env\(\))\.({'|'.join(Settings.model_fields)})\b|\"(page_\w*password)\""
    assert set(Settings.model_fields) == {one for found in re.findall(read, code) for one in found if one}
