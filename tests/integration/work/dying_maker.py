"""A worker that is killed when its first result lies in the blob store and nobody knows of it:
``python -m tests.integration.work.dying_maker <store url> <folder>``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from shared.contracts.results import Result
from shared.store.redis import open_redis
from shared.tenancy import TenantId
from shared.work.ledger import Claim
from shared.work.results import Results
from shared.work.reuse import Reuse
from tests.integration.work.bench import Bench
from tests.integration.work.makers import RECIPES, Makers


class Dying(Results):
    """Records that are never written."""

    async def keep(self, claim: Claim, tenant: TenantId, result: Result) -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        return await super().keep(claim, tenant, result)


async def main(url: str, folder: Path) -> None:
    async with open_redis(url) as store:
        makers = Makers(Bench(store, lease_ms=60_000), folder)
        reuse = Reuse(recipes=RECIPES, results=Dying(store))
        async with makers.worker(makers.step, reuse=reuse).running():
            await asyncio.sleep(20)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
