"""Every scenario runs on both forms: one process, and four over RabbitMQ and Redis."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.jobs.media.clip import DEMO, DEMO_SECONDS, make_clip
from tests.support.client import Client, client_of
from tests.support.stack import Stack
from tests.support.stacks import FORMS, shared_stack


@pytest.fixture(params=FORMS)
def stack(request: pytest.FixtureRequest) -> Stack:
    return shared_stack(request.param)


@pytest_asyncio.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with client_of(stack.url, stack.key) as made:
        yield made


@pytest.fixture
def other_key(stack: Stack) -> str:
    """The key of another tenant."""
    return stack.new_tenant(f"other-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="session")
def demo_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "harbour.mp4"
    make_clip(path, DEMO, duration=DEMO_SECONDS)
    return path
