"""What the gateway does about messages."""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.shares import Shares
from shared.bus.router import Context, Router
from shared.contracts.catalog import VideoDeleted
from shared.serving import change_of
from shared.store.records import Records


@dataclass(frozen=True, slots=True)
class GatewayHandlers:
    """Lets go of what it keeps for a thing that is gone."""

    records: Records
    shares: Shares

    def router(self) -> Router:
        """The service's table of contents."""
        return Router("gateway").on(VideoDeleted, self.end_shares)

    async def end_shares(self, message: VideoDeleted, context: Context) -> None:
        """The links of a video that is gone lead nowhere."""
        change = change_of(context)
        await self.shares.forget(change, context.tenant, message.video_id)
        await self.records.commit(change)
