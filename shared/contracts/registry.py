"""Every message type there is; read by tests and documents, not at run time."""

from __future__ import annotations

from shared.contracts import catalog, drive, jobs, library, schedules
from shared.contracts.base import Message

ALL: tuple[type[Message], ...] = (
    drive.CompleteUpload,
    drive.DeleteFile,
    drive.FileStored,
    library.FileRenamed,
    library.ListFolders,
    library.ScanFolder,
    jobs.SubmitJob,
    jobs.CancelJob,
    jobs.RetryJob,
    jobs.StopJob,
    jobs.PauseJob,
    jobs.ResumeJob,
    jobs.PrioritizeJob,
    jobs.ExplainJob,
    jobs.AdmitJob,
    jobs.ClearDead,
    jobs.ListPools,
    jobs.GovernPool,
    jobs.GovernTenant,
    schedules.PutSchedule,
    schedules.DeleteSchedule,
    jobs.JobsChanged,
    jobs.JobFinished,
    jobs.JobControl,
    jobs.JobDiscarded,
    jobs.Ring,
    catalog.DeleteVideo,
    catalog.TrashVideo,
    catalog.RestoreVideo,
    catalog.RenameVideo,
    catalog.ApproveLayout,
    catalog.SearchCaptions,
    catalog.CaptionsPublished,
    catalog.VideoDeleted,
    catalog.VideoTrashed,
    catalog.VideoRestored,
    catalog.VideoRenamed,
)
