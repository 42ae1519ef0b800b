"""The recogniser's seam: finding and reading text with RapidOCR, from the models in its wheel."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from rapidocr import RapidOCR
from rapidocr.ch_ppocr_det import TextDetector
from rapidocr.ch_ppocr_rec import TextRecInput, TextRecognizer

from services.jobs.media.geometry import Rect
from services.jobs.media.picture import Bgr

_MODELS = files("rapidocr") / "models"
_PARAMS = {
    "Global.log_level": "critical",
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    # The default blows every small crop up to 736 pixels: eight times the work for nothing.
    "Det.limit_type": "max",
    "Det.limit_side_len": 960,
    "Det.model_path": str(_MODELS / "PP-OCRv6_det_small.onnx"),
    "Rec.model_path": str(_MODELS / "PP-OCRv6_rec_small.onnx"),
    # Pictures read together are padded to the widest of them, which changes what is read.
    "Rec.rec_batch_num": 1,
}


class Reading(NamedTuple):
    """What one line says, in NFC, and how sure the recogniser is, 0 to 1."""

    text: str
    confidence: float


class Reader(Protocol):
    """Finds lines of text in pictures and reads them. The same picture gives the same answer."""

    def detect(self, picture: Bgr) -> list[Rect]:
        """Upright rectangles around lines of text, in pixels, top to bottom."""
        ...

    def recognise(self, picture: Bgr, boxes: Sequence[Rect]) -> list[Reading]:
        """Read each of ``boxes`` (pixels) of the picture."""
        ...


class RapidReader:
    """Reads with RapidOCR on one thread; loading the models takes half a second."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        settings = RapidOCR(params=_PARAMS).cfg
        for part in (settings.Det, settings.Rec):
            part.engine_cfg = settings.EngineConfig.onnxruntime
        settings.Rec.font_path = None
        self._detector = TextDetector(settings.Det)
        self._recogniser = TextRecognizer(settings.Rec)

    def detect(self, picture: Bgr) -> list[Rect]:
        """Upright rectangles around lines of text, in pixels, top to bottom."""
        corners = self._detector(picture).boxes
        if corners is None:
            return []
        return [
            Rect(*(float(value) for value in (*box.min(axis=0), *box.max(axis=0))))
            for box in np.asarray(corners)
        ]

    def recognise(self, picture: Bgr, boxes: Sequence[Rect]) -> list[Reading]:
        """Read each of ``boxes`` (pixels) of the picture."""
        if not boxes:
            return []
        output = self._recogniser(TextRecInput(img=[_cut(picture, box) for box in boxes]))
        assert output.txts is not None
        return [
            Reading(unicodedata.normalize("NFC", text).strip(), round(float(score), 4))
            for text, score in zip(output.txts, output.scores, strict=True)
        ]


def _cut(picture: Bgr, box: Rect) -> Bgr:
    height, width = picture.shape[:2]
    rows = slice(max(0, int(box.y0)), min(height, max(int(box.y0) + 1, round(box.y1))))
    columns = slice(max(0, int(box.x0)), min(width, max(int(box.x0) + 1, round(box.x1))))
    return np.ascontiguousarray(picture[rows, columns])
