"""The search index over records that live in memory."""

from __future__ import annotations

from typing import TypeVar, cast

import pytest

from services.catalog.search import LONGEST_QUERY, CaptionIndex
from shared.contracts.catalog import Hits
from shared.contracts.records import Caption, Captions, Record
from shared.errors import Invalid
from shared.store.changes import Changes
from shared.store.keys import TENANTS, captions_key, videos_index
from shared.store.records import Records
from shared.tenancy import TenantId, tenant_id

ACME, OTHER = tenant_id("acme"), tenant_id("other")
R = TypeVar("R", bound=Record)


class FakeCatalog:
    """Records, their indexes and the stream of changes, as far as an index sees them."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.indexes: dict[str, set[str]] = {}
        self.changed: list[tuple[str, str]] = []
        self.reads = 0

    def put(self, tenant: TenantId, video: str, *texts: str, tell: bool = True) -> None:
        captions = tuple(
            Caption(
                id=str(number),
                start_frame=number * 20,
                end_frame=number * 20 + 15,
                text=text,
                confidence=1.0,
            )
            for number, text in enumerate(texts)
        )
        record = Captions(
            video_id=video, origin="engine", updated_at=1, version=1, captions=captions
        )
        self.records[captions_key(tenant, video)] = record
        self.indexes.setdefault(TENANTS, set()).add(tenant)
        self.indexes.setdefault(videos_index(tenant), set()).add(video)
        if tell:
            self.changed.append((tenant, video))

    def remove(self, tenant: TenantId, video: str) -> None:
        del self.records[captions_key(tenant, video)]
        self.indexes[videos_index(tenant)].discard(video)
        self.changed.append((tenant, video))

    async def get(self, type_: type[R], key: str) -> R | None:
        self.reads += type_ is Captions
        found = self.records.get(key)
        assert found is None or isinstance(found, type_)
        return found

    async def page(self, index: str, before: str, limit: int) -> list[str]:
        members = sorted(self.indexes.get(index, ()), reverse=True)
        return [member for member in members if not before or member < before][:limit]

    async def last(self) -> str:
        return str(len(self.changed))

    async def after(self, position: str) -> tuple[list[tuple[str, str]], str]:
        return self.changed[int(position) :], str(len(self.changed))


@pytest.fixture
def catalog() -> FakeCatalog:
    return FakeCatalog()


@pytest.fixture
def index(catalog: FakeCatalog) -> CaptionIndex:
    return CaptionIndex(cast("Records", catalog), cast("Changes", catalog))


async def search(
    index: CaptionIndex, text: str, tenant: TenantId = ACME, limit: int = 20, offset: int = 0
) -> Hits:
    await index.refresh()
    return index.search(tenant, text, limit, offset)


async def texts(index: CaptionIndex, text: str, tenant: TenantId = ACME) -> set[str]:
    return {hit.text for hit in (await search(index, text, tenant)).hits}


async def test_what_was_there_before_the_index_is_found(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    catalog.put(ACME, "v1", "The harbour wakes", "Good night", tell=False)
    found = await search(index, "harbour")
    assert found.total == 1
    assert (found.hits[0].video_id, found.hits[0].start, found.hits[0].end) == ("v1", 0.0, 1.6)


async def test_each_search_sees_what_was_committed_before_it(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    assert await texts(index, "harbour") == set()
    catalog.put(ACME, "v1", "The harbour wakes")
    assert await texts(index, "harbour") == {"The harbour wakes"}
    catalog.put(ACME, "v1", "The market opens")
    assert await texts(index, "harbour") == set()
    assert await texts(index, "market") == {"The market opens"}
    catalog.remove(ACME, "v1")
    assert await texts(index, "market") == set()


async def test_nothing_is_read_when_nothing_has_changed(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    catalog.put(ACME, "v1", "one")
    await index.refresh()
    reads = catalog.reads
    await index.refresh()
    assert catalog.reads == reads


async def test_a_video_that_changed_often_is_read_once(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    await index.refresh()
    for number in range(5):
        catalog.put(ACME, "v1", f"version {number}")
    before = catalog.reads
    assert await texts(index, "version") == {"version 4"}
    assert catalog.reads == before + 1


async def test_more_videos_than_a_page_are_all_found(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    for number in range(1203):
        catalog.put(ACME, f"v{number:04}", f"number {number}", tell=False)
    assert (await search(index, "number")).total == 1203


async def test_a_tenant_finds_its_own_captions_alone(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    catalog.put(ACME, "same", "secret of acme")
    catalog.put(OTHER, "same", "secret of other")
    assert await texts(index, "secret", ACME) == {"secret of acme"}
    assert await texts(index, "secret", OTHER) == {"secret of other"}
    catalog.remove(OTHER, "same")
    assert await texts(index, "secret", ACME) == {"secret of acme"}
    assert await texts(index, "secret", OTHER) == set()


@pytest.mark.parametrize(
    "text",
    [
        "tenant:other",
        "secret OR tenant:other",
        "secret) OR (tenant:other",
        '"secret" +tenant:other',
        "*",
        "tenant:*",
        "video:other",
        "secret -acme",
        "/.*/",
        "[a TO z]",
    ],
)
async def test_no_query_reaches_another_tenant(
    catalog: FakeCatalog, index: CaptionIndex, text: str
) -> None:
    catalog.put(OTHER, "v1", "secret of other")
    await index.refresh()
    try:
        found = index.search(ACME, text, 20, 0)
    except Invalid:
        return
    assert found == Hits(total=0)


async def test_every_word_must_be_there_in_any_order(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    catalog.put(ACME, "v1", "good morning harbour", "good night", "harbour at night")
    assert await texts(index, "night good") == {"good night"}
    assert await texts(index, "good") == {"good morning harbour", "good night"}
    assert await texts(index, "good evening") == set()


async def test_words_in_quotes_stand_side_by_side(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    catalog.put(ACME, "v1", "good morning harbour", "morning is good")
    assert await texts(index, '"good morning"') == {"good morning harbour"}
    assert await texts(index, '"morning good"') == set()
    assert await texts(index, '"is good" morning') == {"morning is good"}


async def test_a_phrase_may_run_over_two_lines(catalog: FakeCatalog, index: CaptionIndex) -> None:
    catalog.put(ACME, "v1", "a market opens\nalong the quay")
    assert len(await texts(index, '"opens along"')) == 1


@pytest.mark.parametrize("text", ["cafe", "CAFÉ", "Café", "café"])
async def test_case_and_accents_do_not_matter(
    catalog: FakeCatalog, index: CaptionIndex, text: str
) -> None:
    catalog.put(ACME, "v1", "Das Café am Hafen")
    assert len(await texts(index, text)) == 1


@pytest.mark.parametrize("text", ["don't", "harbour-side", "«harbour»—side!"])
async def test_punctuation_only_parts_words(
    catalog: FakeCatalog, index: CaptionIndex, text: str
) -> None:
    catalog.put(ACME, "v1", "I don t know, harbour side")
    assert len(await texts(index, text)) == 1


@pytest.mark.parametrize("text", ["", " ", '""', "...", "- -", '"'])
async def test_a_query_without_a_word_is_refused(index: CaptionIndex, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        await search(index, text)
    assert refused.value.code == "empty_query"


async def test_an_endless_query_is_cut(catalog: FakeCatalog, index: CaptionIndex) -> None:
    catalog.put(ACME, "v1", "word")
    assert await texts(index, "word".ljust(LONGEST_QUERY) + "absent") == {"word"}


async def test_the_snippet_marks_the_words_and_escapes_the_rest(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    catalog.put(ACME, "v1", "<script>harbour</script> & more")
    snippet = (await search(index, "harbour")).hits[0].snippet
    assert "<b>harbour</b>" in snippet
    assert "<script>" not in snippet


async def test_pages_follow_each_other_without_gap_or_repetition(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    catalog.put(ACME, "v1", *[f"word {number}" for number in range(10)])
    pages = [await search(index, "word", limit=4, offset=offset) for offset in (0, 4, 8, 12)]
    found = [hit.text for page in pages for hit in page.hits]
    assert len(found) == len(set(found)) == 10
    assert {page.total for page in pages} == {10}


async def test_the_caption_with_fewer_other_words_comes_first(
    catalog: FakeCatalog, index: CaptionIndex
) -> None:
    catalog.put(ACME, "v1", "harbour and a great many other words that say little", "harbour")
    found = await search(index, "harbour")
    assert found.hits[0].text == "harbour"
    assert found.hits[0].score > found.hits[1].score
