"""What can be set for the gateway."""

from __future__ import annotations

from typing import Annotated

from services.gateway.cors import check_origins
from shared.settings import Said, Secret
from shared.settings import Settings as Base


class Settings(Base, frozen=True, kw_only=True):
    """What can be set for the gateway."""

    host: Annotated[str, Said(description="The address the door listens on")] = "127.0.0.1"
    port: Annotated[int, Said(ge=0, le=65535, description="Its port; 0 takes a free one")] = 8080
    admin_key: Annotated[
        Secret, Said(description="The key for tenants and keys over HTTP; empty turns that off")
    ] = Secret()
    max_upload_bytes: Annotated[int, Said(ge=1, description="The largest upload that is taken")] = (
        50 * 1024**3
    )
    reserve_bytes: Annotated[
        int, Said(ge=0, description="Free disk space that uploads never use up")
    ] = 512 * 1024**2
    redirect_media: Annotated[
        bool, Said(description="Whether S3 sends videos itself, from addresses good for a while")
    ] = False
    redirect_seconds: Annotated[
        int, Said(ge=60, le=604800, description="How long such an address is good")
    ] = 3600
    accel_prefix: Annotated[
        str,
        Said(
            pattern=r"^/(?:[\w.-]+/)+$",
            description="nginx's internal location of the blobs folder, which then sends videos",
        ),
    ] = ""
    read_seconds: Annotated[
        float, Said(gt=0, description="An upload that sends nothing for so long is ended")
    ] = 60.0
    streams: Annotated[
        int, Said(ge=1, description="Event streams that may be open in one gateway")
    ] = 5000
    streams_per_tenant: Annotated[
        int, Said(ge=1, description="Of these, how many one tenant may have open")
    ] = 200
    streams_per_key: Annotated[
        int, Said(ge=1, description="Of these, how many may be open with one key")
    ] = 32
    stream_seconds: Annotated[
        float,
        Said(ge=1, le=86400, description="How long an event stream lasts; its client comes back"),
    ] = 3600.0
    cors_origins: Annotated[
        tuple[str, ...],
        Said(description="Origins whose pages may call from a browser, or `*`; empty is none"),
    ] = ()

    def __post_init__(self) -> None:
        check_origins(self.cors_origins)
