"""Records as the HTTP interface shows them. A video's stages follow from its jobs. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway import schemas
from services.gateway.job_views import failure
from services.gateway.library_schemas import InLibrary
from services.gateway.schemas import Stage
from shared.clock import rfc3339
from shared.contracts import records
from shared.contracts.library import LibraryFile

STAGE_OF: dict[records.JobState, Stage] = {
    "accepted": "wait",
    "scheduled": "wait",
    "ready": "wait",
    "blocked": "wait",
    "paused": "wait",
    "running": "processing",
    "retrying": "processing",
    "cancelling": "processing",
    "succeeded": "done",
    "failed": "error",
    "cancelled": "error",
    "expired": "error",
}
_WORST: tuple[Stage, ...] = ("error", "annotate", "processing", "wait", "done")


def video(
    record: records.Video,
    process: records.Job | None,
    captioning: records.Job | None,
    file: LibraryFile | None = None,
) -> schemas.Video:
    """A video with the state of its jobs, and of its file if that lies in a library."""
    stages = stages_of(record, process, captioning)
    failures = (failure(each) for each in (process, captioning) if each)
    return schemas.Video(
        id=record.id,
        name=record.name,
        size=record.size,
        status=status_of(stages),
        stages=stages,
        jobs=schemas.VideoJobs(process=record.process_job, captions=record.caption_job or None),
        created_at=rfc3339(record.created_at),
        media_type=record.media_type,
        sha256=record.sha256,
        media=media(record.media),
        captions=record.captions,
        layout=record.layout or None,
        error=next((failure for failure in failures if failure), None),
        stream_url=f"/v1/videos/{record.id}/stream",
        thumbnail_url=f"/v1/videos/{record.id}/thumbnail" if record.poster else None,
        library=_in_library(file) if file else None,
        version=record.version,
    )


def _in_library(file: LibraryFile) -> InLibrary:
    since = rfc3339(file.missing_since) if file.state == "missing" else None
    return InLibrary(id=file.library, path=file.path, missing_since=since)


def accepted_video(accepted: records.Accepted, process: records.Job | None) -> schemas.Video:
    """A video whose file has not been taken in yet, or was refused."""
    stage = STAGE_OF[process.state] if process else "wait"
    stages = schemas.Stages(process=stage, layout="wait", captions="wait")
    return schemas.Video(
        id=accepted.video_id,
        name=accepted.name,
        size=accepted.size,
        status=status_of(stages),
        stages=stages,
        jobs=schemas.VideoJobs(process=accepted.job_id),
        created_at=rfc3339(accepted.accepted_at),
        error=failure(process) if process else None,
    )


def stages_of(
    record: records.Video, process: records.Job | None, captioning: records.Job | None
) -> schemas.Stages:
    """How far a video is. What a job wrote counts, also when the job itself is forgotten."""
    told: Stage = "done" if record.media else "wait"
    processed = STAGE_OF[process.state] if process else told
    layout: Stage = "wait" if processed == "error" else processed
    if record.layout:
        layout = "annotate" if record.layout == "proposed" else "done"
    return schemas.Stages(
        process=processed, layout=layout, captions=_captions_stage(record, captioning)
    )


def _captions_stage(record: records.Video, captioning: records.Job | None) -> Stage:
    if record.layout == "none":
        return "done"
    if captioning is not None:
        return STAGE_OF[captioning.state]
    return "done" if record.captions is not None else "wait"


def status_of(stages: schemas.Stages) -> Stage:
    """The word for all stages together: the one that asks for attention most."""
    found = {stages.process, stages.layout, stages.captions}
    if found == {"done", "wait"}:
        return "processing"
    return next(stage for stage in _WORST if stage in found)


def frames(video_id: str, record: records.Frames) -> schemas.Frames:
    """The sampled frames with the texts seen in them."""
    return schemas.Frames(
        items=tuple(
            schemas.Frame(
                index=index,
                time=frame.time,
                url=f"/v1/videos/{video_id}/frames/{index}",
                texts=tuple(
                    schemas.FrameText(box=each.box, text=each.text, confidence=each.confidence)
                    for each in frame.boxes
                ),
            )
            for index, frame in enumerate(record.frames)
        )
    )


def captions(video_id: str, record: records.Captions | None) -> schemas.Captions:
    """The captions; none when none were read yet."""
    found: Sequence[records.Caption] = record.captions if record else ()
    return schemas.Captions(
        video=video_id,
        origin=record.origin if record else "",
        items=tuple(
            schemas.Caption(
                id=each.id,
                start=each.start,
                end=each.end,
                text=each.text,
                confidence=each.confidence,
                state=each.state,
            )
            for each in found
        ),
    )


def media(facts: records.MediaFacts | None) -> schemas.Media | None:
    """What is in a file, once it was looked at."""
    if facts is None:
        return None
    return schemas.Media(
        duration=facts.duration,
        width=facts.width,
        height=facts.height,
        fps=facts.fps,
        codec=facts.codec,
        container=facts.container,
        rotation=facts.rotation,
        has_audio=facts.has_audio,
        damaged=facts.damaged,
    )
