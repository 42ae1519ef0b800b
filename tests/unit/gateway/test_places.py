"""How many streams may be open."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from services.gateway.places import Places, TooManyStreams
from services.gateway.settings import Settings
from shared.http.context import Principal
from shared.http.errors import headers_of


def who(key: str, tenant: str = "acme") -> Principal:
    return Principal(tenant=tenant, credential=key)


PLACES = Settings(streams=4, streams_per_tenant=3, streams_per_key=2)


def take(places: Places, stack: ExitStack, *whose: Principal) -> None:
    for one in whose:
        stack.enter_context(places.taken(one))


def refused(places: Places, one: Principal) -> str:
    with pytest.raises(TooManyStreams) as caught, places.taken(one):
        pass
    assert (caught.value.status, caught.value.code) == (429, "too_many_streams")
    assert headers_of(caught.value) == {"Retry-After": "10"}
    return caught.value.detail


def test_each_limit_refuses_the_next_and_nobody_else() -> None:
    places = Places(PLACES)
    with ExitStack() as stack:
        take(places, stack, who("a"), who("a"))
        assert refused(places, who("a")) == "2 event streams are open with this key"
        take(places, stack, who("b"))
        assert refused(places, who("c")) == "3 event streams are open by this tenant"
        take(places, stack, who("d", "other"))
        assert refused(places, who("e", "third")) == "4 event streams are open on this server"


def test_a_place_that_was_left_is_free_again() -> None:
    places = Places(PLACES)
    for _ in range(3):
        with ExitStack() as stack:
            take(places, stack, who("a"), who("a"))
            refused(places, who("a"))
    assert not places._taken


def test_a_key_that_is_named_like_a_tenant_is_not_mixed_up_with_it() -> None:
    places = Places(PLACES)
    with ExitStack() as stack:
        take(places, stack, who("acme"), who("acme"))
        take(places, stack, who("other", "acme"))
