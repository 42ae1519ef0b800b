"""What the result of each media step follows from.

A step is given exactly this: parameters and results that are not named here do not reach it. So
whoever makes a step read more names it here, and with that its results get other keys. Whoever
changes what a step makes of the same input raises its revision; what is made from it follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from services.jobs.media.engine import ENGINE
from shared.work.results import Recipe


def _with(*libraries: str) -> str:
    return " ".join(f"{library}/{version(library)}" for library in libraries)


_PICTURES: Final = _with("av", "opencv-python-headless", "numpy")
_READING: Final = f"{ENGINE} {_PICTURES} {_with('onnxruntime', 'rapidfuzz')}"

RECIPES: Mapping[str, Recipe] = {
    "probe": Recipe(version=f"probe/1 {_PICTURES}"),
    "poster": Recipe(version=f"poster/1 {_PICTURES}"),
    "frames": Recipe(version=f"frames/1 {_PICTURES}"),
    "read_frames": Recipe(version=f"read_frames/1 {_READING}", needs=("frames",)),
    "layout": Recipe(version=f"layout/1 {_READING}", params=("sure_at",), needs=("read_frames",)),
    "crop": Recipe(version=f"crop/1 {_READING}", params=("layout", "chunk")),
    "extents": Recipe(version=f"extents/1 {_READING}", needs=("crop",)),
    "read_captions": Recipe(version=f"read_captions/1 {_READING}", needs=("extents",)),
}
