"""Pictures that stand for the video: a poster, and a sprite to scrub over."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from services.jobs.media.duration import find_end
from services.jobs.media.picture import Bgr, colour, write_jpeg
from services.jobs.media.playhead import Playhead
from services.jobs.media.video import Video
from shared.work.step import Report, StepResult, StepTask

_POSTER_SIDE = 1280
_TILE_SIDE = 160
_COLUMNS = 10
_MOST_TILES = 100
_TILE_SECONDS = 2.0


def run(task: StepTask, report: Report) -> StepResult:
    """Write ``poster.jpg`` and ``sprite.jpg``."""
    with Video(Path(task.inputs["source"])) as video:
        duration = find_end(video).seconds
        count = max(1, min(_MOST_TILES, math.ceil(duration / _TILE_SECONDS)))
        interval = duration / count
        tiles: list[Bgr] = []
        playhead = Playhead(video)
        size = (video.width, video.height)
        for number in range(count):
            shown = playhead.near((number + 0.5) * interval, interval / 2)
            assert shown is not None
            tiles.append(colour(shown.frame, size, video.quarter_turns, _TILE_SIDE))
            report.progress((number + 1) / (count + 1), f"picture {number + 1} of {count}")
        best = max(range(count), key=lambda number: (_detail(tiles[number]), -number))
        shown = playhead.at((best + 0.5) * interval)
        assert shown is not None
        picture = colour(shown.frame, size, video.quarter_turns, _POSTER_SIDE)
        write_jpeg(task.path("poster.jpg"), picture)
    write_jpeg(task.path("sprite.jpg"), sheet(tiles))
    return StepResult(
        result={"sprite": _described(tiles, interval)}, artifacts=("poster.jpg", "sprite.jpg")
    )


def _described(tiles: list[Bgr], interval: float) -> dict[str, Any]:
    height, width = tiles[0].shape[:2]
    columns = min(_COLUMNS, len(tiles))
    return {
        "columns": columns,
        "rows": math.ceil(len(tiles) / columns),
        "tiles": len(tiles),
        "tile_width": width,
        "tile_height": height,
        "interval": round(interval, 3),
    }


def _detail(tile: Bgr) -> float:
    """Bright and varied pictures say more than black ones."""
    return float(tile.std())


def sheet(tiles: list[Bgr]) -> Bgr:
    """Tiles of one size as rows of ten, the last row filled up with black."""
    columns = min(_COLUMNS, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    blank = [np.zeros_like(tiles[0])] * (rows * columns - len(tiles))
    filled = [*tiles, *blank]
    lines = [np.hstack(filled[row * columns : (row + 1) * columns]) for row in range(rows)]
    return np.vstack(lines)
