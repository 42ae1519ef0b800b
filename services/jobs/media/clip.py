"""Making small videos with captions burned in, so that a demo and a test know what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont

_Picture = npt.NDArray[np.uint8]
_TICKS = 90_000


class ClipCaption(NamedTuple):
    """A caption and when it is on show, in seconds; the end is exclusive."""

    start: float
    end: float
    text: str


class ClipStyle(NamedTuple):
    """How a clip looks. ``height`` of a line and ``bottom`` of the lowest are shares of the
    picture's height; ``fade`` is in seconds.
    """

    fill: tuple[int, int, int] = (255, 255, 255)
    outline: tuple[int, int, int] = (10, 10, 10)
    box: bool = False
    height: float = 0.075
    bottom: float = 0.93
    fade: float = 0.0
    noise: int = 0
    logo: str = ""


class ClipTiming(NamedTuple):
    """Frame times: ``uneven`` drops frames irregularly, ``first`` is the first timestamp in
    seconds, ``rotation`` (degrees counterclockwise) is applied by whoever shows the clip.
    """

    fps: int = 25
    uneven: bool = False
    first: float = 0.0
    rotation: int = 0


DEMO_SECONDS = 26.0
DEMO = (
    ClipCaption(1.0, 3.6, "The harbour wakes before sunrise"),
    ClipCaption(4.2, 6.8, "Fishing boats return with silver nets"),
    ClipCaption(6.8, 9.4, "Every crate is weighed by hand"),
    ClipCaption(10.6, 13.0, "Children count seventeen lanterns"),
    ClipCaption(13.4, 16.8, "A market opens along the quay\nand music fills the street"),
    ClipCaption(17.6, 19.6, "Nobody hurries on a Sunday"),
    ClipCaption(20.4, 22.4, "The lighthouse answers at dusk"),
    ClipCaption(22.4, 25.0, "Good night, little harbour"),
)


def make_clip(
    path: Path,
    captions: Sequence[ClipCaption],
    *,
    duration: float,
    size: tuple[int, int] = (640, 360),
    style: ClipStyle | None = None,
    timing: ClipTiming | None = None,
) -> None:
    """Write an MP4 of ``duration`` seconds and ``size`` (width, height) with these captions over
    a moving background. The same arguments give the same pictures.
    """
    timing = timing or ClipTiming()
    painter = _Painter(size, captions, style or ClipStyle())
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as output:
        stream = _video_stream(output, size, timing)
        for number in _frame_numbers(int(duration * timing.fps), uneven=timing.uneven):
            time = number / timing.fps
            frame = av.VideoFrame.from_ndarray(_coded(painter.paint(time), timing), format="rgb24")
            frame.pts = round((time + timing.first) * _TICKS)
            frame.time_base = Fraction(1, _TICKS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _video_stream(
    output: OutputContainer, size: tuple[int, int], timing: ClipTiming
) -> VideoStream:
    h264 = "libx264" in av.codecs_available
    options = {"preset": "veryfast", "crf": "21"} if h264 else {"qscale": "4"}
    stream = output.add_stream("libx264" if h264 else "mpeg4", rate=timing.fps, options=options)
    turned = timing.rotation % 180 != 0
    stream.width, stream.height = (size[1], size[0]) if turned else size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.gop_size = timing.fps * 4
    stream.codec_context.time_base = Fraction(1, _TICKS)
    stream.time_base = Fraction(1, _TICKS)
    if timing.rotation:
        stream.set_display_rotation(timing.rotation)
    return stream


def _coded(picture: _Picture, timing: ClipTiming) -> _Picture:
    """The picture as it is stored, so that turning it back shows it upright."""
    return np.ascontiguousarray(np.rot90(picture, -timing.rotation // 90))


def _frame_numbers(count: int, *, uneven: bool) -> list[int]:
    if not uneven:
        return list(range(count))
    # Runs of one to four frames of the steady clock, repeating every eleven frames.
    return [number for number in range(count) if number % 11 in {0, 1, 3, 7}]


class _Painter:
    """Paints the picture at a time: background, logo, caption."""

    def __init__(
        self, size: tuple[int, int], captions: Sequence[ClipCaption], style: ClipStyle
    ) -> None:
        self._size = size
        self._style = style
        self._captions = [(caption, self._layer(caption.text)) for caption in captions]
        self._logo = self._layer(style.logo, corner=True) if style.logo else None
        self._random = np.random.default_rng(7)

    def paint(self, time: float) -> _Picture:
        picture = Image.fromarray(self._background(time))
        layers = [(layer, self._strength(cap, time)) for cap, layer in self._captions]
        layers += [] if self._logo is None else [(self._logo, 1.0)]
        for layer, strength in layers:
            if strength > 0:
                mask = layer.getchannel("A").point([round(v * strength) for v in range(256)])
                picture.paste(layer.convert("RGB"), (0, 0), mask)
        return np.asarray(picture, dtype=np.uint8)

    def _strength(self, caption: ClipCaption, time: float) -> float:
        if not caption.start - 1e-6 <= time < caption.end - 1e-6:
            return 0.0
        if self._style.fade <= 0:
            return 1.0
        edge = min(time - caption.start, caption.end - time)
        return min(1.0, edge / self._style.fade)

    def _background(self, time: float) -> _Picture:
        """Soft waves that wander, with a brighter disc that crosses the picture."""
        width, height = self._size
        x = np.linspace(0, 6, width, dtype=np.float32)[None, :]
        y = np.linspace(0, 4, height, dtype=np.float32)[:, None]
        waves = np.sin(x + time * 0.7) * np.cos(y * 1.3 - time * 0.4)
        disc = ((x - (time * 0.5) % 7) ** 2 + (y - 2.9) ** 2 < 0.35) * 60.0
        base = 96 + 42 * waves + disc
        if self._style.noise:
            spread = self._style.noise
            base = base + self._random.integers(-spread, spread + 1, (height, width))
        tint = np.stack([base * 0.85, base, base * 1.15], axis=-1)
        return np.asarray(np.clip(tint, 0, 255), dtype=np.uint8)

    def _layer(self, text: str, *, corner: bool = False) -> Image.Image:
        """The text alone on a transparent picture, lines centred above the bottom margin."""
        width, height = self._size
        style = self._style
        pixels = max(10, round(style.height * min(width, height * 1.2)))
        font = ImageFont.load_default(pixels)
        layer = Image.new("RGBA", self._size, (0, 0, 0, 0))
        draw = ImageDraw.Draw(layer)
        at = (width - 12, 12) if corner else (width / 2, height * style.bottom)
        anchor, align = ("ra", "right") if corner else ("md", "center")
        if style.box and not corner:
            around = draw.textbbox(at, text, font=font, anchor=anchor, align=align)
            pad = pixels // 4
            draw.rectangle(
                (around[0] - pad, around[1] - pad, around[2] + pad, around[3] + pad),
                fill=(*style.outline, 255),
            )
        draw.text(
            at,
            text,
            font=font,
            fill=(*style.fill, 255),
            anchor=anchor,
            align=align,
            stroke_width=max(1, pixels // 14),
            stroke_fill=(*style.outline, 255),
        )
        return layer
