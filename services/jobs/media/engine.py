"""Which engine reads captions: one version string that goes into every result."""

from __future__ import annotations

from importlib.metadata import version

# Raised whenever the same video would give other captions than before.
REVISION = 1

ENGINE = f"reelway-captions/{REVISION} rapidocr/{version('rapidocr')} av/{version('av')}"
