"""Full-text search over captions: a Tantivy index beside the records, never a second truth.

The index of a replica is built from the records when it starts and then follows the stream of
changed videos, which every commit of captions appends to. Each search catches up first, so whoever
has seen captions published finds them, on every replica. The tenant's filter is added in one place
(:meth:`CaptionIndex._query`) and cannot be left out.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import tantivy

from shared.contracts.catalog import Hit, Hits
from shared.contracts.records import Caption, Captions, Video
from shared.errors import Invalid, Unavailable
from shared.store.changes import Changes, ChangesMissed
from shared.store.keys import TENANTS, captions_key, video_key, videos_index
from shared.store.records import Records
from shared.tenancy import TenantId, tenant_id

ANALYZER = "captions"
LONGEST_QUERY = 256
_PAGE = 500
_PARTS = re.compile(r'"([^"]*)"|(\S+)')
_HEAP_BYTES = 32_000_000
_log = logging.getLogger(__name__)


class CaptionIndex:
    """Captions by their words."""

    def __init__(self, records: Records, changes: Changes) -> None:
        self._records = records
        self._changes = changes
        self._schema = _schema()
        self._analyzer = _analyzer()
        self._index = tantivy.Index(self._schema)
        self._index.register_tokenizer(ANALYZER, _analyzer())
        self._writer = self._index.writer(_HEAP_BYTES, 1)
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._position: str | None = None

    async def refresh(self) -> None:
        """Catch up with every change committed before this call. That goes on when whoever asked
        is gone: the writer is in a thread then, and must not meet another one.
        """
        task = asyncio.create_task(self._catch_up(), name="caption index")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked hears of it, or is gone

    async def follow(self, every: float = 30.0) -> None:
        """Build the index and keep up with the changes, for ever, so that no search finds much
        left to do.
        """
        while True:
            try:
                await self.refresh()
            except Unavailable as away:
                _log.warning("the search index cannot follow the records: %s", away.detail)
            await asyncio.sleep(every)

    async def _catch_up(self) -> None:
        async with self._lock:
            await self._follow()

    async def _follow(self) -> None:
        if self._position is None:
            position = await self._changes.last()
            await self._build()
            self._position = position
        try:
            changed, position = await self._changes.after(self._position)
        except ChangesMissed:
            self._position = None  # from the records again
            return await self._follow()
        for tenant, video_id in dict.fromkeys(changed):
            await self._put(tenant_id(tenant), video_id)
        if changed:
            await asyncio.to_thread(self._commit)
        self._position = position  # only now: what failed half-way is done again
        return None

    def search(self, tenant: TenantId, text: str, limit: int, offset: int) -> Hits:
        """The best captions that contain every word, and every phrase in quotes, of ``text``."""
        query = self._query(tenant, text)
        searcher = self._index.searcher()
        found: Any = searcher.search(query, limit=limit, offset=offset)
        snippets = tantivy.SnippetGenerator.create(searcher, query, self._schema, "text")
        hits = []
        for score, address in found.hits:
            document = searcher.doc(address)
            snippet = snippets.snippet_from_doc(document).to_html()
            hits.append(_hit(document.to_dict(), snippet, score))
        return Hits(total=found.count or 0, hits=tuple(hits))

    async def _build(self) -> None:
        self._writer.rollback()  # what a build that failed had added would not be deleted below
        self._writer.delete_all_documents()
        async for tenant in self._pages(TENANTS):
            owner = tenant_id(tenant)
            async for video_id in self._pages(videos_index(owner)):
                await self._put(owner, video_id)
        await asyncio.to_thread(self._commit)

    async def _pages(self, index: str) -> AsyncIterator[str]:
        before = ""
        while members := await self._records.page(index, before, _PAGE):
            for member in members:
                yield member
            before = members[-1]

    async def _put(self, tenant: TenantId, video_id: str) -> None:
        """Replace what the index has of a video by what the records say now."""
        captions = await self._records.get(Captions, captions_key(tenant, video_id))
        video = await self._records.get(Video, video_key(tenant, video_id))
        self._writer.delete_documents_by_term("video", _owned(tenant, video_id))
        is_trashed = video is not None and video.trashed_at
        for caption in captions.captions if captions and not is_trashed else ():
            self._writer.add_document(_document(tenant, video_id, caption))

    def _commit(self) -> None:
        self._writer.commit()
        self._index.reload()

    def _query(self, tenant: TenantId, text: str) -> tantivy.Query:
        wanted = [self._part(words) for words in self._parts(text)]
        if not wanted:
            raise Invalid("q has no word to look for", code="empty_query")
        mine = tantivy.Query.term_query(self._schema, "tenant", tenant, "basic")
        must = [mine, *wanted]
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, part) for part in must])

    def _parts(self, text: str) -> Iterator[list[str]]:
        """Single words and quoted phrases, as the analyzer sees them."""
        for phrase, word in _PARTS.findall(text[:LONGEST_QUERY]):
            if words := self._analyzer.analyze(phrase or word):
                yield words

    def _part(self, words: list[str]) -> tantivy.Query:
        if len(words) == 1:
            return tantivy.Query.term_query(self._schema, "text", words[0])
        return tantivy.Query.phrase_query(self._schema, "text", list(words))


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("tenant", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("video", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("start", stored=True)
    builder.add_integer_field("end", stored=True)
    builder.add_text_field("text", stored=True, tokenizer_name=ANALYZER)
    return builder.build()


def _analyzer() -> tantivy.TextAnalyzer:
    """Words in lower case without accents."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(80))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .build()
    )


def _owned(tenant: TenantId, video_id: str) -> str:
    """A video's name in the index: ids of two tenants never meet, whoever chose them."""
    return f"{tenant}/{video_id}"


def _document(tenant: TenantId, video_id: str, caption: Caption) -> tantivy.Document:
    document = tantivy.Document()
    document.add_text("tenant", tenant)
    document.add_text("video", _owned(tenant, video_id))
    document.add_integer("start", caption.start_frame)
    document.add_integer("end", caption.end_frame)
    document.add_text("text", caption.text)
    return document


def _hit(fields: dict[str, list[Any]], snippet: str, score: float) -> Hit:
    return Hit(
        video_id=fields["video"][0].split("/", 1)[1],
        start=fields["start"][0] / 10,
        end=(fields["end"][0] + 1) / 10,
        text=fields["text"][0],
        snippet=snippet,
        score=score,
    )
