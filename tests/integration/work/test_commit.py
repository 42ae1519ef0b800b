"""A change of records: everything of it, or nothing."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from shared.bus.envelope import Envelope
from shared.bus.outbox_entries import envelope_of
from shared.contracts.base import Message
from shared.contracts.catalog import VideoDeleted
from shared.contracts.jobs import SubmitJob
from shared.contracts.records import Caption, CaptionLine, Captions, Layout, Record, Tenant, Video
from shared.errors import Conflict, ReelwayError
from shared.ids import derived_id
from shared.store.changes import Changes
from shared.store.outbox import RedisOutbox
from shared.store.records import Change, Records, StaleFence
from shared.store.redis import Store
from tests.integration.work.bench import ACME, Bench, decoded

KEY = "rw:t:acme:video:v1"


@pytest.fixture
def records(store: Store) -> Records:
    return Records(store, "catalog")


def video(version: int = 1, **fields: object) -> Video:
    plain = Video(
        id="v1",
        name="a video",
        file_id="f1",
        location="acme/files/f1/original",
        size=7,
        sha256="00",
        media_type="video/mp4",
        created_at=1,
        updated_at=1,
        version=version,
        process_job="j1",
    )
    return plain if not fields else Video(**{**_fields(plain), **fields})  # type: ignore[arg-type]


def _fields(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def change() -> Change:
    return Change("acme", correlation="c1", causation="m1")


async def said(store: Store) -> list[tuple[Envelope, Message]]:
    entries = await RedisOutbox(store, "catalog").read("0", 100, 0.01)
    return [decoded(envelope_of(entry, "catalog")) for entry in entries]


async def test_a_message_changes_things_once(records: Records, store: Store) -> None:
    def counted() -> Change:
        gone = VideoDeleted(video_id="v1")
        return change().once("catalog", "m1").say(gone, message_id="d1", key="v1")

    assert await records.commit(counted())
    assert not await records.commit(counted())
    assert await records.commit(change().once("drive", "m1"))
    assert len(await said(store)) == 1
    assert await store.commands.ttl("rw:seen:catalog:m1") > 7 * 24 * 3600 - 60


async def test_a_refused_change_may_be_made_again(records: Records) -> None:
    await records.commit(change().put(KEY, video(version=1)))
    with pytest.raises(Conflict):
        await records.commit(change().once("catalog", "m1").expect(KEY, 7))
    assert await records.commit(change().once("catalog", "m1").expect(KEY, 1))


async def test_a_change_expects_the_version_it_was_made_for(records: Records) -> None:
    await records.commit(change().expect(KEY, 0).put(KEY, video(version=1)))
    with pytest.raises(Conflict):
        await records.commit(change().expect(KEY, 0).put(KEY, video(version=9)))
    await records.commit(change().expect(KEY, 1).put(KEY, video(version=2)))
    with pytest.raises(Conflict):
        await records.commit(change().expect(KEY, 1).delete(KEY))
    found = await records.get(Video, KEY)
    assert found is not None
    assert found.version == 2


async def test_a_record_without_a_version_is_not_absent(records: Records) -> None:
    key = "rw:t:acme:tenant"
    await records.commit(change().put(key, Tenant(id="acme", tier="free", created_at=1)))
    with pytest.raises(Conflict):
        await records.commit(change().expect(key, 0).delete(key))


async def test_of_two_changes_at_once_one_wins(records: Records) -> None:
    await records.commit(change().put(KEY, video(version=1)))
    changes = [change().expect(KEY, 1).put(KEY, video(version=2)) for _ in range(8)]
    answers = await asyncio.gather(*map(records.commit, changes), return_exceptions=True)
    assert answers.count(True) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 7


async def test_what_shall_be_absent_must_be(records: Records) -> None:
    await records.commit(change().absent(KEY).put(KEY, video()))
    with pytest.raises(Conflict):
        await records.commit(change().absent(KEY).put(KEY, video(version=5)))


async def test_a_fence_goes_before_every_other_reason(records: Records, store: Store) -> None:
    bench = Bench(store)
    await bench.submit()
    claim = await bench.claim()
    await records.commit(change().put(KEY, video()))
    late = change().fenced(claim.key, claim.fence - 1).absent(KEY)
    with pytest.raises(StaleFence):
        await records.commit(late)
    with pytest.raises(StaleFence):
        await records.commit(change().fenced("rw:t:acme:job:gone", 1))


@pytest.mark.parametrize("wrong", ["score", "index", "stream", "outbox"])
async def test_what_turns_out_wrong_late_has_changed_nothing(
    records: Records, store: Store, wrong: str
) -> None:
    await store.commands.set("rw:plain", "text")
    bad = change().once("catalog", "m1").put(KEY, video()).index("rw:index", "v1")
    bad.append("rw:stream", 10, tenant="acme")
    if wrong == "score":
        bad.index("rw:index", "v2", score=math.nan)
    elif wrong == "index":
        bad.index("rw:plain", "v2")
    elif wrong == "stream":
        bad.append("rw:plain", 10, tenant="acme")
    else:
        await store.commands.set("rw:outbox:catalog", "text")
        bad.say(VideoDeleted(video_id="v1"), message_id="d1")
    before = sorted(await store.commands.keys("*"))
    with pytest.raises(ReelwayError):
        await records.commit(bad)
    assert sorted(await store.commands.keys("*")) == before


async def test_messages_enter_the_outbox_as_they_are(records: Records, store: Store) -> None:
    odd = {"none": [], "empty": {}, "text": 'ü"\\/\u2028😀\x00', "deep": [[], [{}]], "big": 2**53}
    submit = SubmitJob(job_id="j1", flow="caption_video", subject="v1", params=odd)
    trace = '{"traceparent":"00-1-2-01"}'
    said_with = Change("acme", correlation="c1", causation="m1", trace=trace)
    said_with.say(submit, message_id=derived_id("submit", "j1"), key="v1")
    await records.commit(said_with.say(VideoDeleted(video_id="v1"), message_id="d1"))
    (first, message), (second, _) = await said(store)
    assert message == submit
    assert (first.sort, first.tenant, first.correlation) == ("command", "acme", "c1")
    assert (first.causation, first.trace) == ("m1", {"traceparent": "00-1-2-01"})
    assert (second.sort, second.id) == ("event", "d1")


async def test_empty_lists_and_odd_texts_stay_what_they_are(records: Records) -> None:
    proposal: dict[str, Any] = {"bands": [], "none": None, "odd": 'ü"\\/ 😀', "ratio": 0.1 + 0.2}
    layout = Layout(video_id="v1", state="none", proposal=proposal, updated_at=1)
    await records.commit(change().put("rw:t:acme:layout:v1", layout))
    assert await records.get(Layout, "rw:t:acme:layout:v1") == layout


async def test_five_thousand_captions_are_one_record(records: Records) -> None:
    captions = Captions(
        video_id="v1",
        origin="test",
        updated_at=1,
        version=1,
        captions=tuple(
            Caption(
                id=derived_id("c", str(n)),
                start_frame=n * 30,
                end_frame=n * 30 + 29,
                text=f"Zeile {n}: ein Untertitel üblicher Länge\nüber zwei Zeilen",
                confidence=0.987,
                lines=(CaptionLine(text="ein Untertitel", confidence=0.9),) * 2,
            )
            for n in range(5000)
        ),
    )
    await records.commit(change().put(KEY, captions))
    assert await records.get(Captions, KEY) == captions
    await records.commit(change().expect(KEY, 1).delete(KEY))


async def test_an_index_is_read_page_by_page(records: Records) -> None:
    filled = change()
    for name in "abcde":
        filled.index("rw:index", name)
    await records.commit(filled)
    assert await records.page("rw:index", "", 2) == ["e", "d"]
    assert await records.page("rw:index", "d", 2) == ["c", "b"]
    await records.commit(change().unindex("rw:index", "c").unindex("rw:index", "gone"))
    assert await records.count("rw:index") == 4


async def test_marks_and_records_may_last_for_a_while(records: Records, store: Store) -> None:
    await records.commit(change().mark("rw:mark", 100).put(KEY, video(), seconds=50))
    assert 80 < await store.commands.ttl("rw:mark") <= 100
    assert 30 < await store.commands.ttl(KEY) <= 50


async def test_changes_are_followed_from_a_position_on(records: Records, store: Store) -> None:
    changes = Changes(store, "rw:catalog:changes")
    nothing_yet = await changes.last()
    assert await changes.after(nothing_yet) == ([], nothing_yet)
    for number in range(2500):
        filled = change().append("rw:catalog:changes", 100_000, tenant=ACME, video=f"v{number}")
        await records.commit(filled)
    found, position = await changes.after("0-0")
    assert [video_id for _, video_id in found] == [f"v{number}" for number in range(2500)]
    assert position == await changes.last()
    assert await changes.after(position) == ([], position)
