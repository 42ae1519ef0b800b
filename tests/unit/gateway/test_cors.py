"""Which origins may be listed, and what an origin is."""

from __future__ import annotations

import pytest

from services.gateway.cors import Cors, origin_of
from services.gateway.settings import Settings
from shared.settings import SettingsError, load

PREFIX = "REELWAY_GATEWAY_"
VARIABLE = f"{PREFIX}CORS_ORIGINS"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://videos.example", "https://videos.example"),
        ("https://videos.example/", "https://videos.example"),
        ("HTTPS://Videos.Example:443/a?b#c", "https://videos.example"),
        ("http://videos.example:80", "http://videos.example"),
        ("http://videos.example:443", "http://videos.example:443"),
        ("http://127.0.0.1:5173/index.html", "http://127.0.0.1:5173"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://münchen.example", "https://xn--mnchen-3ya.example"),
        ("https://user:word@videos.example", "https://videos.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("null", ""),
        ("", ""),
        ("videos.example", ""),
        ("//videos.example", ""),
        ("https://", ""),
        ("https://*.example", ""),
        ("https://a b.example", ""),
        ("https://videos.example:port", ""),
        ("https://videos.example:99999", ""),
        (f"https://{'a' * 64}.example", ""),
        ("file:///etc/passwd", ""),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_origins_are_a_list() -> None:
    given = "https://a.example, http://b.example:8081"
    settings = load(Settings, {VARIABLE: given}, PREFIX)
    assert settings.cors_origins == ("https://a.example", "http://b.example:8081")
    assert load(Settings, {VARIABLE: "*"}, PREFIX).cors_origins == ("*",)
    assert load(Settings, {}, PREFIX).cors_origins == ()


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        ("https://a.example/", "write https://a.example"),
        ("https://A.example:443", "write https://a.example"),
        ("https://ok.example,http://b.example/path", "write http://b.example"),
        ("a.example", "write scheme://host or scheme://host:port"),
        ("https://*.example", "write scheme://host or scheme://host:port"),
        ("null", "write scheme://host or scheme://host:port"),
        ("*,https://a.example", "write * alone"),
    ],
)
def test_what_no_browser_would_send_is_refused_at_the_start(given: str, cure: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Settings, {VARIABLE: given}, PREFIX)
    said = str(caught.value)
    assert "CORS_ORIGINS" in said
    assert cure in said
    assert "\n" not in said


def test_an_origin_is_compared_as_a_whole() -> None:
    rules = Cors(frozenset({"https://a.example"}))
    assert rules.allows("https://a.example")
    for other in (
        "",
        "null",
        "http://a.example",
        "https://a.example:8443",
        "https://a.example.evil.example",
        "https://evil-a.example",
        "https://b.a.example",
        "https://A.example",
    ):
        assert not rules.allows(other)


def test_anybody_is_anybody_who_says_where_he_is_from() -> None:
    rules = Cors(frozenset({"*"}))
    assert rules.allows("null")
    assert not rules.allows("")
