"""A clip long enough to be interrupted, and stacks of one's own to kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.jobs.media.clip import ClipCaption, make_clip
from tests.support.client import captions_of, client_of
from tests.support.servers import redis_database
from tests.support.stack import Stack, apart, embedded
from tests.support.stacks import FORMS, private_names, shared_stack

SECONDS = 100
WORDS = ("harbour", "lantern", "silver", "morning", "market", "window", "river", "garden")


def _captions() -> list[ClipCaption]:
    return [
        ClipCaption(start + 0.6, start + 3.4, f"The {WORDS[n % 8]} of chapter {n + 10}")
        for n, start in enumerate(range(0, SECONDS - 4, 4))
    ]


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    make_clip(path, _captions(), duration=SECONDS, size=(640, 360))
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def undisturbed(long_clip: Path) -> list[tuple[float, float, str]]:
    """The captions of the clip when nothing happens."""
    stack = shared_stack("embedded")
    async with client_of(stack.url, stack.key) as client:
        return await captions_of(client, (await client.upload(long_clip))["video"]["id"])


@pytest.fixture(params=FORMS)
def own_stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """A stack that nobody else uses."""
    if request.param == "embedded":
        with embedded(tmp_path) as stack:
            yield stack
        return
    with redis_database() as store, apart(tmp_path, private_names(), store) as stack:
        yield stack
