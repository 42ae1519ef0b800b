"""Every metric, span and log action there is, in one place.

A label may only have few values: no tenants, jobs, users or paths. A label that is not declared
here never reaches the output (:mod:`shared.telemetry.metrics` drops it).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

FAST = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds: what a person waits for (the buckets that OpenTelemetry asks for)."""

TINY = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0)
"""Seconds: what one call of the store takes."""

LONG = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Seconds: what work on a video takes, or waits."""


@dataclass(frozen=True)
class Metric:
    """A metric before anything is counted: its name, what it says, and its labels."""

    name: str
    sort: Literal["counter", "up_down_counter", "gauge", "histogram"]
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_HTTP = ("http.request.method", "http.route", "http.response.status_code")

METRICS: dict[str, Metric] = {
    # How long answers take; streams and uploads are left out, they last as long as they like.
    "http_request_duration": Metric(
        "http.server.request.duration",
        "histogram",
        "s",
        "Seconds from a request's arrival to the end of its answer",
        _HTTP,
        FAST,
    ),
    # Requests in hand, streams included, probes not.
    "http_active_requests": Metric(
        "http.server.active_requests",
        "up_down_counter",
        "{request}",
        "Requests being answered now",
        ("http.request.method",),
    ),
    # Bytes that clients sent as content of videos and files.
    "upload_bytes": Metric(
        "reelway.upload", "counter", "By", "Content bytes received", ("protocol",)
    ),
    # Bytes of content handed out, whole or by range.
    "range_bytes": Metric("reelway.range", "counter", "By", "Content bytes sent", ("partial",)),
    # Requests with an Idempotency-Key: first, resumed (an earlier one broke off), replayed,
    # in_progress and mismatch (refused with 409 and 422).
    "idempotent_requests": Metric(
        "reelway.idempotent.requests",
        "counter",
        "{request}",
        "Requests with an Idempotency-Key, by what they met",
        ("outcome",),
    ),
    # Open event streams.
    "sse_subscribers": Metric(
        "reelway.sse.subscribers", "up_down_counter", "{stream}", "Event streams open now"
    ),
    # Event streams that ended: done (the job has), over (too old, or the server stops), left (the
    # client did), stalled (it stopped reading).
    "sse_ended": Metric(
        "reelway.sse.ended", "counter", "{stream}", "Event streams that ended", ("reason",)
    ),
    # Readers who were so far behind that they had to begin anew.
    "sse_resets": Metric(
        "reelway.sse.resets", "counter", "{reset}", "Event streams begun anew with a snapshot"
    ),
    # Messages handed to the carrier: confirmed, or timeout, unroutable, full, unavailable (each
    # try counts), cancelled (the sender gave up), refused (it can never be taken).
    "bus_published": Metric(
        "reelway.bus.published",
        "counter",
        "{message}",
        "Messages handed to the bus",
        ("kind", "outcome"),
    ),
    # Messages settled by a consumer: done, again, giveback, bury.
    "bus_consumed": Metric(
        "reelway.bus.consumed",
        "counter",
        "{message}",
        "Deliveries settled, by how they were settled",
        ("kind", "outcome"),
    ),
    # Messages parked: somebody has to look.
    "bus_buried": Metric(
        "reelway.bus.buried", "counter", "{message}", "Messages parked as dead letters", ("kind",)
    ),
    # What a handler takes for one message.
    "bus_handler_duration": Metric(
        "reelway.bus.handler.duration",
        "histogram",
        "s",
        "Seconds a handler worked on one message",
        ("kind",),
        FAST,
    ),
    # Room on the disk that takes uploads; below the reserve nothing is taken in.
    "storage_free": Metric(
        "reelway.storage.free", "gauge", "By", "Free bytes on the disk that takes uploads"
    ),
    # How far the relay is behind the services.
    "outbox_lag": Metric(
        "reelway.outbox.lag", "gauge", "s", "Age of the oldest unpublished message", ("service",)
    ),
    # How jobs go through their states, counted when the ledger's own account of it is published:
    # whoever made the transition, it is counted once.
    "job_transitions": Metric(
        "reelway.job.transitions",
        "counter",
        "{transition}",
        "Jobs that came into a state",
        ("flow", "state"),
    ),
    # What finding the best job takes.
    "claim_duration": Metric(
        "reelway.job.claim.duration",
        "histogram",
        "s",
        "Seconds one claim took, found or empty",
        ("pool", "outcome"),
        TINY,
    ),
    # How long jobs wait for a worker at each step that a pool begins; repeated attempts at a step
    # are left out, their waits are meant.
    "job_wait": Metric(
        "reelway.job.wait",
        "histogram",
        "s",
        "Seconds from ready to claimed",
        ("pool",),
        LONG,
    ),
    # What the steps of flows take: done, failed, stopped (cancelled, lost, or the worker left).
    "step_duration": Metric(
        "reelway.step.duration",
        "histogram",
        "s",
        "Seconds one attempt of a step took",
        ("step", "outcome"),
        LONG,
    ),
    # Whether a step's result was there already: hit (taken), miss, damaged (its files are gone or
    # changed), unavailable (the store did not answer); all but a hit are made.
    "result_lookups": Metric(
        "reelway.result.lookups",
        "counter",
        "{lookup}",
        "Looks for an earlier result of a step",
        ("step", "outcome"),
    ),
    # Workers that vanished, or were too slow to say that they live; the job is in line again.
    "leases_lost": Metric(
        "reelway.lease.lost", "counter", "{lease}", "Leases of running jobs that ran out", ("pool",)
    ),
    # What the store takes, per command and per script.
    "store_duration": Metric(
        "reelway.store.duration",
        "histogram",
        "s",
        "Seconds one command or script of the store took",
        ("operation", "outcome"),
        TINY,
    ),
    # Circuit breakers that opened (again) or closed, counted where it was noticed: once each.
    "breaker_changes": Metric(
        "reelway.breaker.changes",
        "counter",
        "{change}",
        "Circuit breakers that opened or closed",
        ("provider", "state"),
    ),
    # Times of recurring jobs that came: fired, overlap (the job before has not ended), queue_full,
    # or why there can be none (layout_not_approved, subject_gone, …).
    "schedules_due": Metric(
        "reelway.schedules.due",
        "counter",
        "{time}",
        "Times of recurring jobs that came, by what became of them",
        ("outcome",),
    ),
    # Background loops that failed and took the process with them.
    "task_failures": Metric(
        "reelway.task.failures",
        "counter",
        "{failure}",
        "Background tasks that ended unexpectedly",
        ("task",),
    ),
}


class SpanName(StrEnum):
    """Spans; those that are named for a message or a route put it behind."""

    REQUEST = "request"  # one HTTP request: "request GET /v1/videos/{video}"
    PUBLISH = "publish"  # one try to hand a message to the bus: "publish jobs.submit.v1"
    PROCESS = "process"  # one message in a handler's hands: "process jobs.submit.v1"
    JOB = "job"  # one attempt at a job: "job process_video"
    STEP = "step"  # one attempt of a step: "step read_frames"


class Action(StrEnum):
    """What a log line is about, for searching and for alarms."""

    STARTED = "started"  # a service is up
    STOPPING = "stopping"  # a signal came; the process drains
    STOPPED = "stopped"  # everything is closed
    START_WAITING = "start_waiting"  # a server that is needed does not answer yet
    START_FAILED = "start_failed"  # the process cannot start
    STOP_OVERRUN = "stop_overrun"  # stopping took longer than allowed and was cut short
    TASK_ENDED = "task_ended"  # a background task ended unexpectedly; the process ends
    STORE_RESTARTED = "store_restarted"  # the embedded store ended and is started again
    STORE_NOT_DURABLE = "store_not_durable"  # the store may forget what it acknowledged
    SPAN = "span"  # a finished span, with REELWAY_TRACES=log
    MESSAGE_UNDECODABLE = "message_undecodable"  # bytes on the bus that are no message
    MESSAGE_NOT_DONE = "message_not_done"  # a delivery is retried, returned or buried
    ANSWER_LOST = "answer_lost"  # the asker of a query could not be reached
    HANDLER_FAILED = "handler_failed"  # a handler raised; the message is retried or buried
    SETTLE_FAILED = "settle_failed"  # the carrier did not take how a delivery was settled
    REQUEST = "request"  # one HTTP request of the public interface, answered
    ANSWER_NOT_KEPT = "answer_not_kept"  # a repetition of this request may be carried out again
    ADMISSION_UNKNOWN = "admission_unknown"  # an upload was taken without asking whether it may be
    KEY_MADE = "key_made"  # the first start made a tenant; the line says where its key lies
    JOB_STARTED = "job_started"  # a job is in a worker's hands for the first time
    JOB_RESUMED = "job_resumed"  # a job is in a worker's hands again, or in another pool's
    JOB_HANDED = "job_handed"  # the next step of a job waits for another pool
    JOB_FINISHED = "job_finished"  # a job has succeeded
    JOB_FAILED = "job_failed"  # a job has failed for good
    JOB_RETRIED = "job_retried"  # an attempt failed; the job is tried again later
    JOB_CANCELLED = "job_cancelled"  # the worker of a job that was cancelled has let go
    JOB_RETURNED = "job_returned"  # a worker that leaves gave a job back to its place in line
    JOB_LOST = "job_lost"  # an attempt noticed that the job is no longer its own
    JOB_UNSETTLED = "job_unsettled"  # how an attempt ended could not be written down
    BREAKER_OPENED = "breaker_opened"  # a provider keeps failing for a tenant; it is left alone
    BREAKER_CLOSED = "breaker_closed"  # a provider answers again; calls pass
    SCHEDULE_DUE = "schedule_due"  # a recurring job was due; the line says what became of it
    RESULT_TAKEN = "result_taken"  # a step was not run: its result was there already
    RESULT_DAMAGED = "result_damaged"  # an earlier result cannot be used; the step is run
    RESULT_NOT_KEPT = "result_not_kept"  # a result could not be written down for others
    INTAKE_PAUSED = "intake_paused"  # the disk has less than its reserve free; no uploads are taken
    INTAKE_RESUMED = "intake_resumed"  # there is room again
    UPLOADS_ABANDONED = "uploads_abandoned"  # uploads that nobody went on with were removed
    TRASH_PURGED = "trash_purged"  # videos that were in the trash for long enough were removed
    RESULTS_SWEPT = "results_swept"  # files of results that nobody uses any more were removed
    LIBRARY_SCANNED = "library_scanned"  # a folder was looked through; the line says with what
    LIBRARY_WATCH = "library_watch"  # folders cannot be watched, or looked at, for the moment
    SWEEP_FAILED = "sweep_failed"  # looking for such files broke off; it is tried again later
    BUS_CONNECTED = "bus_connected"  # a connection to the broker is up
    OUTBOX_HELD = "outbox_held"  # entries of an outbox wait: what they need is away
    OUTBOX_BAD = "outbox_bad"  # an entry of an outbox can never be published; set aside
    BUS_DISCONNECTED = "bus_disconnected"  # a connection to the broker is not there (yet)
