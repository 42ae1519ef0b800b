"""As little as can take an upload: aiohttp writes the body into a file and flushes it at the end.

``python -m tests.load.bench_drive_bare FILE`` prints its port.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from aiohttp import web


async def serve(path: Path) -> None:
    """Until it is killed."""

    async def take(request: web.Request) -> web.Response:
        with path.open("wb") as file:
            async for chunk in request.content.iter_any():
                file.write(chunk)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        path.unlink()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/dump", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
