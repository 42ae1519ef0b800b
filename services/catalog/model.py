"""Rules of the catalog: how a video's record follows from what the steps found. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.contracts.drive import FileStored
from shared.contracts.records import (
    Artifact,
    Caption,
    CaptionLine,
    Frame,
    Layout,
    MediaFacts,
    Sprite,
    StepOutput,
    TextBox,
    Video,
)
from shared.ids import derived_id, derived_id_at


class ReadFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame in ``frames.json``, as the step ``read_frames`` wrote it."""

    name: str
    time: float
    boxes: tuple[TextBox, ...] = ()


class ReadFrames(msgspec.Struct, frozen=True, kw_only=True):
    """The file ``frames.json``."""

    frames: tuple[ReadFrame, ...]
    origin: str = ""


class ReadCaption(msgspec.Struct, frozen=True, kw_only=True):
    """One caption in ``captions.json``; frames are tenths of a second, both ends inclusive."""

    start_frame: int
    end_frame: int
    text: str
    confidence: float
    lines: tuple[CaptionLine, ...] = ()


class ReadCaptions(msgspec.Struct, frozen=True, kw_only=True):
    """The file ``captions.json``."""

    captions: tuple[ReadCaption, ...]
    origin: str = ""


def new_video(stored: FileStored, at: int) -> Video:
    """The record of a video whose file has just been stored."""
    return Video(
        id=stored.video_id,
        name=stored.name,
        file_id=stored.file_id,
        location=stored.location,
        size=stored.size,
        sha256=stored.sha256,
        media_type=stored.media_type,
        created_at=at,
        updated_at=at,
        version=1,
        process_job=stored.job_id,
    )


def described(
    video: Video, outputs: Mapping[str, StepOutput], pictures: Mapping[str, str], at: int
) -> Video:
    """The video with what probing and the poster step found; ``pictures`` maps names to keys."""
    facts = {**outputs["probe"].result}
    known = {name: facts[name] for name in MediaFacts.__struct_fields__ if name in facts}
    return msgspec.structs.replace(
        video,
        media=msgspec.convert(known, MediaFacts, strict=False),
        poster=pictures.get("poster.jpg", ""),
        sprite=_sprite(outputs["poster"].result, pictures.get("sprite.jpg", "")),
        updated_at=at,
        version=video.version + 1,
    )


def _sprite(result: Mapping[str, Any], key: str) -> Sprite | None:
    shape = result.get("sprite", result)
    if not key or "columns" not in shape:
        return None
    names = ("columns", "rows", "tile_width", "tile_height", "interval")
    return msgspec.convert({"key": key, **{n: shape[n] for n in names}}, Sprite, strict=False)


def frames_of(found: ReadFrames, pictures: Mapping[str, str]) -> tuple[Frame, ...]:
    """The sampled pictures with the texts seen in them."""
    return tuple(
        Frame(time=frame.time, key=pictures[frame.name], boxes=frame.boxes)
        for frame in found.frames
        if frame.name in pictures
    )


def proposed_layout(
    video_id: str, proposal: dict[str, Any], *, auto_approve: bool, at: int
) -> Layout:
    """The layout as it stands after the proposal: a sure one passes where the tenant allows it."""
    if not proposal.get("found"):
        return Layout(video_id=video_id, state="none", proposal=proposal, updated_at=at)
    is_approved = auto_approve and bool(proposal.get("sure"))
    return Layout(
        video_id=video_id,
        state="approved" if is_approved else "proposed",
        proposal=proposal,
        updated_at=at,
        approved_by="policy" if is_approved else "",
    )


def settled_layout(known: Layout | None, proposed: Layout) -> Layout:
    """The layout of a video that is described: ``known`` as long as a person has approved it, or it
    says the same as what is proposed now and is approved already; else what is proposed.
    """
    if known is None:
        return proposed
    same = known.proposal == proposed.proposal
    if known.approved_by == "person" or (same and known.state in {"approved", proposed.state}):
        return known
    return proposed


def caption_job_id(video_id: str, layout: Layout) -> str:
    """The id of the job that reads the captions under this layout: asking twice is one job. In a
    list it stands with what happened when the layout was approved, after the video's own job.
    """
    return derived_id_at(layout.updated_at + 1, "caption", video_id)


def numbered(video_id: str, found: ReadCaptions) -> tuple[Caption, ...]:
    """The captions with ids that stay the same when the same captions are read again."""
    return tuple(
        Caption(
            id=derived_id("caption", video_id, str(each.start_frame), str(each.end_frame)),
            start_frame=each.start_frame,
            end_frame=each.end_frame,
            text=each.text,
            confidence=each.confidence,
            lines=each.lines,
        )
        for each in found.captions
    )


def named(artifacts: tuple[Artifact, ...], name: str) -> Artifact:
    """The artifact of that name."""
    return next(artifact for artifact in artifacts if artifact.name == name)
