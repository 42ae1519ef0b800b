"""Opening a file as a video: fixed lists of formats and codecs, local files only."""

from __future__ import annotations

from pathlib import Path

import av
import av.logging
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from services.jobs.media.sniff import refuse_playlists
from shared.work.step import BadInput

# Demuxers that read one self-contained file. Audio formats are among them so that a recording
# without pictures is told apart from a file that is no recording at all.
FORMATS = (
    *("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "nut", "ivf"),
    *("h264", "hevc", "m4v", "mpegvideo", "dv", "rm", "wtv", "y4m", "yuv4mpegpipe", "obu"),
    *("mp3", "wav", "flac", "aac", "aiff", "ac3", "amr"),
)
CODECS = frozenset(
    {
        *("h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp8", "vp9", "libvpx", "libvpx-vp9"),
        *("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "msmpeg4v3"),
        *("h261", "h263", "h263i", "h263p", "flv", "wmv1", "wmv2", "wmv3", "vc1", "theora"),
        *("mjpeg", "mjpegb", "prores", "dnxhd", "dvvideo", "ffv1", "huffyuv", "ffvhuff", "utvideo"),
        *("rawvideo", "v210", "svq1", "svq3", "rv10", "rv20", "rv30", "rv40", "cinepak", "vvc"),
        *("png", "qtrle", "vp6", "vp6f", "vp6a", "indeo5", "cfhd", "magicyuv", "snow", "jpeg2000"),
    }
)
_STILL_BRANDS = ("avif", "heic", "heix", "heim", "heis", "mif1", "mif2", "avis", "msf1")
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(FORMATS),
    # Enough to see every stream of a sane file, little enough not to read all of a mad one.
    "analyzeduration": "5000000",
    "probesize": "10000000",
}


def open_container(path: Path) -> InputContainer:
    """Open a local file, or raise ``playlist_refused`` or ``not_a_video``."""
    refuse_playlists(path)
    av.logging.set_level(None)
    try:
        container = av.open(str(path), mode="r", container_options=_OPTIONS, options=_OPTIONS)
    except (av.error.FFmpegError, ValueError) as error:
        raise BadInput(
            "not_a_video",
            f"this file cannot be opened as a video: {error.__class__.__name__}",
            hint="Check that the file plays and was uploaded completely.",
        ) from error
    if container.metadata.get("major_brand", "").strip() in _STILL_BRANDS:
        container.close()
        raise BadInput("not_a_video", "this file is a still picture", hint="Upload a video.")
    return container


def video_stream(container: InputContainer) -> VideoStream:
    """The stream with the pictures; attached cover art does not count."""
    for stream in container.streams.video:
        if stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
            continue
        return _allowed(stream)
    raise BadInput(
        "no_video_stream", "this file has no pictures, only sound", hint="Upload a video."
    )


def _allowed(stream: VideoStream) -> VideoStream:
    # A stream whose codec this build does not know has no codec context at all.
    name = getattr(stream.codec_context, "name", "unknown")
    if name not in CODECS:
        raise BadInput(
            "codec_refused",
            f"the codec {name} is not read here",
            hint="Convert the video to H.264, H.265, VP9 or AV1.",
        )
    return stream
