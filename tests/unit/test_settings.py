from __future__ import annotations

import json
from typing import Annotated, Literal

import msgspec
import pytest

from shared.settings import (
    SERVICES,
    HostSettings,
    Secret,
    Settings,
    SettingsError,
    describe,
    fields_of,
    load,
    prefix_of,
    redact,
    split,
)
from shared.settings_reference import environment_example, settings_table


class Example(Settings, frozen=True, kw_only=True):
    """What can be set for the example."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="The port")] = 8080
    key: Annotated[Secret, msgspec.Meta(description="The key")] = Secret("")
    mode: Annotated[Literal["fast", "safe"], msgspec.Meta(description="How")] = "safe"
    is_open: Annotated[bool, msgspec.Meta(description="Whether")] = False
    origins: Annotated[tuple[str, ...], msgspec.Meta(description="From where")] = ()
    seconds: Annotated[float, msgspec.Meta(gt=0, description="How long")] = 1.5


class Pair(Settings, frozen=True, kw_only=True):
    """Two that must agree."""

    low: int
    high: int = 10

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


def refusal(kind: type[Settings], environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(kind, environ, "X_")
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_texts_become_numbers_flags_lists_and_secrets() -> None:
    environ = {
        "X_PORT": " 99 ",
        "X_KEY": "hush",
        "X_IS_OPEN": "true",
        "X_ORIGINS": "https://a, https://b,",
        "X_SECONDS": "2",
    }
    settings = load(Example, environ, "X_")
    assert settings.port == 99
    assert settings.key.reveal() == "hush"
    assert settings.is_open is True
    assert settings.origins == ("https://a", "https://b")
    assert settings.seconds == 2.0


def test_loaded_variables_leave_the_environment_and_others_stay() -> None:
    environ = {"X_KEY": "hush", "PATH": "/bin"}
    load(Example, environ, "X_")
    assert environ == {"PATH": "/bin"}


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(Example, {"X_PORT": "", "X_MODE": " "}, "X_") == Example()


@pytest.mark.parametrize(
    ("variable", "given", "allowed"),
    [
        ("X_PORT", "eighty", "a whole number from 1 to 65535"),
        ("X_PORT", "0", "a whole number from 1 to 65535"),
        ("X_MODE", "slow", "one of fast, safe"),
        ("X_IS_OPEN", "yes", "true or false"),
        ("X_SECONDS", "0", "a number above 0"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(variable: str, given: str, allowed: str) -> None:
    assert refusal(Example, {variable: given}) == (
        f"{variable}={given!r} is not valid; allowed: {allowed}"
    )


def test_a_misspelt_variable_is_refused_with_the_nearest_one() -> None:
    assert refusal(Example, {"X_PROT": "1"}) == "X_PROT is no setting; did you mean X_PORT?"


def test_the_value_of_an_unknown_variable_is_not_shown() -> None:
    assert "hush" not in refusal(Example, {"X_SECRET_THING": "hush"})


def test_a_required_setting_is_named() -> None:
    assert refusal(Pair, {}) == "X_LOW must be set: a whole number"


def test_settings_that_contradict_each_other_are_one_line() -> None:
    assert refusal(Pair, {"X_LOW": "11"}) == "X_…: low must not be above high"


def test_secrets_show_themselves_nowhere() -> None:
    settings = Example(key=Secret("hush"))
    shown = f"{settings!r} {settings} {settings.key} {settings.key!r} {[settings.key]}"
    assert "hush" not in shown
    assert "***" in shown


def test_a_secret_that_does_not_convert_is_not_shown() -> None:
    class Strict(Settings, frozen=True, kw_only=True):
        """Strict."""

        keys: tuple[Secret, ...] = ()

    assert load(Strict, {"X_KEYS": "a,b"}, "X_").keys == (Secret("a"), Secret("b"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:p@ss@host:6379/0", "redis://:***@host:6379/0"),
        ("amqp://user:word@host/", "amqp://user:***@host/"),
        ("unix:///run/redis.sock?db=1&password=word", "unix:///run/redis.sock?db=1&password=***"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("memory:", "memory:"),
    ],
)
def test_urls_are_shown_without_passwords(url: str, shown: str) -> None:
    assert redact(url) == shown


def test_a_url_in_settings_is_shown_without_its_password() -> None:
    assert "word" not in repr(HostSettings(bus_url="amqp://user:word@host/"))


def test_variables_are_sorted_by_the_service_they_belong_to() -> None:
    environ = {
        "REELWAY_JOBS_LEASE_SECONDS": "1",
        "REELWAY_LOG_LEVEL": "info",
        "REELWAY_GATEWAY_PORT": "2",
        "HOME": "/root",
    }
    parts = split(environ, SERVICES)
    assert parts["jobs"] == {"REELWAY_JOBS_LEASE_SECONDS": "1"}
    assert parts["gateway"] == {"REELWAY_GATEWAY_PORT": "2"}
    assert parts[""] == {"REELWAY_LOG_LEVEL": "info"}
    assert environ == {"HOME": "/root"}


def test_a_variable_of_nobody_is_refused_by_the_host() -> None:
    parts = split({"REELWAY_JOB_LEASE": "1"}, SERVICES)
    with pytest.raises(SettingsError, match="REELWAY_JOB_LEASE is no setting"):
        load(HostSettings, parts[""], prefix_of(""))


@pytest.mark.parametrize("url", ["http://x", "embedded", "redis:/x", "embedded:x"])
def test_store_urls_of_other_kinds_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="REELWAY_STORE_URL"):
        load(HostSettings, {"REELWAY_STORE_URL": url}, "REELWAY_")


def test_every_host_setting_is_described() -> None:
    assert all(describe(field.type) for field in fields_of(HostSettings))


def test_the_example_file_gives_the_defaults_back() -> None:
    text = environment_example({"REELWAY_": HostSettings})
    lines = [line.removeprefix("# ") for line in text.splitlines() if "# REELWAY_" in line]
    environ = dict(line.split("=", 1) for line in lines)
    assert len(environ) == len(fields_of(HostSettings))
    assert load(HostSettings, environ, "REELWAY_") == HostSettings()


def test_the_table_has_a_row_per_setting_and_shows_no_secret() -> None:
    table = settings_table({"X_": Example})
    assert "| `X_PORT` | `8080` | a whole number from 1 to 65535 | The port |" in table
    assert "| `X_KEY` |  | a text | The key |" in table
    assert "`X_IS_OPEN` | `false`" in table


def test_a_secret_is_not_written_as_json_by_accident() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("hush"))
    with pytest.raises(TypeError):
        json.dumps(Secret("hush"))
