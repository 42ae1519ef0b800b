"""Captions as subtitle files: WebVTT (W3C) and SubRip. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from shared.contracts.records import Caption


def vtt(captions: Iterable[Caption]) -> str:
    """The captions as WebVTT; what looks like markup is escaped (section 4.2.2)."""
    cues = [
        f"{_clock(each.start, '.')} --> {_clock(each.end, '.')}\n{_escaped(each.text)}\n"
        for each in captions
    ]
    return "\n".join(("WEBVTT\n", *cues))


def srt(captions: Iterable[Caption]) -> str:
    """The captions as SubRip."""
    return "\n".join(
        f"{number}\n{_clock(each.start, ',')} --> {_clock(each.end, ',')}\n{_lines(each.text)}\n"
        for number, each in enumerate(captions, 1)
    )


def _clock(seconds: float, point: str) -> str:
    """A time as ``hh:mm:ss.mmm``.

    >>> _clock(3661.5, ".")
    '01:01:01.500'
    """
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _escaped(text: str) -> str:
    return _lines(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _lines(text: str) -> str:
    """An empty line would end the cue."""
    return "\n".join(line for line in text.splitlines() if line.strip())
