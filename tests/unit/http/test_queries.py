"""Query strings as structs."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from shared.errors import Invalid
from shared.http.bodies import read_query


class Page(msgspec.Struct, frozen=True, rename={"page_size": "size"}):
    q: str
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    deep: bool = False


def test_text_becomes_the_types_of_the_struct() -> None:
    request = make_mocked_request("GET", "/?q=a%20b&size=5&deep=true")
    assert read_query(request, Page) == Page(q="a b", page_size=5, deep=True)


class Wanted(msgspec.Struct, frozen=True):
    tag: Annotated[tuple[str, ...], msgspec.Meta(max_length=3)] = ()
    number: tuple[int, ...] = ()


def test_a_list_is_repeated_or_separated_by_commas() -> None:
    request = make_mocked_request("GET", "/?tag=a,b&number=1&tag=c&number=2")
    assert read_query(request, Wanted) == Wanted(tag=("a", "b", "c"), number=(1, 2))
    assert read_query(make_mocked_request("GET", "/"), Wanted) == Wanted()


@pytest.mark.parametrize("query", ["tag=a,b,c&tag=d", "number=1,x", "number="])
def test_a_list_is_checked_item_by_item(query: str) -> None:
    with pytest.raises(Invalid, match=r"query parameter `(tag|number)"):
        read_query(make_mocked_request("GET", f"/?{query}"), Wanted)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("q=a&color=red", "unknown query parameter `color`"),
        ("q=a&page_size=5", "unknown query parameter `page_size`"),
        ("q=a&q=b", "query parameter `q` is given more than once"),
        ("", "query parameter `q` is missing"),
        ("q=a&size=many", "query parameter `size`: Expected `int`, got `str`"),
        ("q=a&size=0", "query parameter `size`: Expected `int` >= 1"),
        ("q=a&deep=perhaps", "query parameter `deep`: Expected `bool`, got `str`"),
        ("q=a&" + "x" * 500, "unknown query parameter `" + "x" * 80 + "`"),
    ],
)
def test_refusal_names_the_parameter(query: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_query(make_mocked_request("GET", f"/?{query}"), Page)
    assert caught.value.detail == said
