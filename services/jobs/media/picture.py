"""Turning decoded frames into pictures: display orientation, grey crops, JPEG and PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from services.jobs.media.geometry import Rect, coded_rect, fitted

Gray = npt.NDArray[np.uint8]
"""A grey picture, (height, width), 0 to 255."""

Bgr = npt.NDArray[np.uint8]
"""A colour picture, (height, width, 3), blue first as OpenCV wants it."""

_JPEG_QUALITY = 88
# Planar formats whose first plane is the luma: bytes to read a sample and bits to drop from it.
_EIGHT_BIT = frozenset(
    {"yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv410p", "yuva420p", "nv12", "nv21"}
)
_FULL_RANGE = frozenset({"yuvj420p", "yuvj422p", "yuvj444p", "gray"})
_TEN_BIT = frozenset({"yuv420p10le", "yuv422p10le", "yuv444p10le"})

# Video luma runs from 16 to 235; everything else here counts from 0 to 255.
_WIDEN = np.clip((np.arange(256, dtype=np.float32) - 16) * (255 / 219) + 0.5, 0, 255)
_WIDE_TABLE: Gray = _WIDEN.astype(np.uint8)


def colour(frame: VideoFrame, size: tuple[int, int], quarter_turns: int, long_side: int) -> Bgr:
    """The whole frame as shown, where ``size`` is (width, height) as shown, at most ``long_side``
    pixels long.
    """
    width, height = fitted(*size, long_side)
    coded = (height, width) if quarter_turns % 2 else (width, height)
    small = frame.reformat(width=coded[0], height=coded[1], format="bgr24")
    picture: Bgr = np.rot90(small.to_ndarray(), quarter_turns)
    return np.ascontiguousarray(picture)


def gray_crop(frame: VideoFrame, region: Rect, quarter_turns: int, size: tuple[int, int]) -> Gray:
    """The luma of ``region`` (0 to 1 of the shown picture) as shown, full range, scaled to
    ``size`` = (width, height) in pixels.
    """
    x0, y0, x1, y1 = coded_rect(region, quarter_turns)
    rows = slice(int(y0 * frame.height), max(int(y0 * frame.height) + 1, round(y1 * frame.height)))
    columns = slice(int(x0 * frame.width), max(int(x0 * frame.width) + 1, round(x1 * frame.width)))
    part = np.rot90(_luma(frame, rows, columns), quarter_turns)
    height, width = part.shape
    shrinking = size[0] * size[1] < width * height
    how = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return as_gray(cv2.resize(np.ascontiguousarray(part), size, interpolation=how))


def stored_luma(frame: VideoFrame) -> Gray:
    """The luma plane as it is stored, eight bits, whatever range it is said to have."""
    return _plane(frame, np.dtype(np.uint8)).copy()


def _luma(frame: VideoFrame, rows: slice, columns: slice) -> Gray:
    name = frame.format.name
    if name in _EIGHT_BIT or name in _FULL_RANGE:
        part = _plane(frame, np.dtype(np.uint8))[rows, columns]
        full = name in _FULL_RANGE or frame.color_range == ColorRange.JPEG
        return part if full else as_gray(cv2.LUT(np.ascontiguousarray(part), _WIDE_TABLE))
    if name in _TEN_BIT:
        narrow = (_plane(frame, np.dtype("<u2"))[rows, columns] >> 2).astype(np.uint8)
        full = frame.color_range == ColorRange.JPEG
        return narrow if full else as_gray(cv2.LUT(narrow, _WIDE_TABLE))
    converted = frame.reformat(format="gray")
    return np.ascontiguousarray(_plane(converted, np.dtype(np.uint8))[rows, columns])


def _plane(frame: VideoFrame, kind: np.dtype[np.generic]) -> npt.NDArray[np.uint8]:
    plane = frame.planes[0]
    samples = np.frombuffer(memoryview(plane), dtype=kind)
    table = samples.reshape(-1, plane.line_size // kind.itemsize)
    view: npt.NDArray[np.uint8] = table[: frame.height, : frame.width]
    return view


def as_gray(picture: object) -> Gray:
    """The same array, known to hold bytes."""
    return np.asarray(picture, dtype=np.uint8)


def write_jpeg(path: Path, picture: Bgr) -> None:
    """Save a picture as JPEG."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done
    path.write_bytes(data.tobytes())


def write_png(path: Path, picture: Gray) -> None:
    """Save a picture as PNG, without loss."""
    done, data = cv2.imencode(".png", picture)
    assert done
    path.write_bytes(data.tobytes())


def read_bgr(path: Path) -> Bgr:
    """Load a picture in colour."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, dtype=np.uint8)


def read_gray(path: Path) -> Gray:
    """Load a picture in grey."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return as_gray(picture)
