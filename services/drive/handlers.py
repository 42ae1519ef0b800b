"""What the drive service does about each message."""

from __future__ import annotations

from dataclasses import dataclass

from services.drive.library.letting_go import let_go, refuse
from services.drive.pieces import Pieces
from shared.blobs import locations
from shared.blobs.store import Blobs
from shared.bus.router import Context, Router
from shared.contracts.drive import CompleteUpload, DeleteFile
from shared.contracts.jobs import JobDiscarded, JobFinished, SubmitJob
from shared.contracts.records import File, Job
from shared.ids import derived_id, file_of
from shared.serving import change_of
from shared.store.keys import deleted_key, file_key
from shared.store.records import Records
from shared.store.space import Space
from shared.tenancy import TenantId, tenant_id
from shared.work.jobs import ENDED, Jobs
from shared.work.results import Results, source_of


@dataclass(frozen=True, slots=True)
class DriveHandlers:
    """Takes bytes in and lets them go."""

    records: Records
    blobs: Blobs
    jobs: Jobs
    results: Results
    pieces: Pieces
    space: Space

    def router(self) -> Router:
        """The service's table of contents."""
        return (
            Router("drive")
            .on(CompleteUpload, self.complete_upload)
            .on(DeleteFile, self.delete_file)
            .on(JobFinished, self.clean_up)
            .on(JobDiscarded, self.drop_discarded)
        )

    async def complete_upload(self, message: CompleteUpload, context: Context) -> None:
        """Have the upload verified and processed: that is a job, this only asks for it."""
        params = {"upload_id": message.upload_id, "name": message.name, "size": message.size}
        submit = SubmitJob(
            job_id=message.job_id,
            flow="process_video",
            subject=message.video_id,
            params=params,
        )
        change = change_of(context).once("drive", context.message_id)
        change.say(submit, message_id=derived_id("submit", message.job_id), key=message.video_id)
        await self.records.commit(change)

    async def delete_file(self, message: DeleteFile, context: Context) -> None:
        """Remove every byte of a video, and what was made of them unless another file of the tenant
        has the same bytes. Bytes first: a record without bytes can be seen and removed again, bytes
        without a record cannot. A file in a library is not ours to remove: it is ignored.
        """
        file = await self.records.get(File, file_key(context.tenant, message.file_id))
        await self.blobs.delete_prefix(locations.files(context.tenant, message.file_id))
        await self.blobs.delete_prefix(locations.pictures(context.tenant, message.video_id))
        for job_id in message.job_ids:
            await self.blobs.delete_prefix(locations.work_of(context.tenant, job_id))
        if file is not None:
            await self._drop_results(context.tenant, file.sha256, file.id)
        await self.space.give(context.tenant, message.file_id)
        key = file_key(context.tenant, message.file_id)
        await let_go(self.records, message.file_id, lambda: change_of(context).delete(key))

    async def clean_up(self, message: JobFinished, context: Context) -> None:
        """Remove what a job kept for itself, unless it may go on from there. Of a video that was
        deleted meanwhile nothing is kept.
        """
        job = await self.jobs.get(context.tenant, message.job_id)
        if job is None:
            return
        await refuse(self.records, job, lambda: change_of(context))
        if await self.records.exists(deleted_key(context.tenant, job.subject)):
            await self._forget(context.tenant, job)
        elif not may_go_on(job):
            await self._drop_work(context.tenant, job)
            await self._drop_upload(context.tenant, job.params.get("upload_id"))
        elif job.state in ENDED and not rests_on_work(job):
            await self._drop_work(context.tenant, job)

    async def drop_discarded(self, message: JobDiscarded, context: Context) -> None:
        """Remove what a job kept that was given up, or forgotten, unless it was retried since."""
        job = await self.jobs.get(context.tenant, message.job_id)
        if job is not None and not job.discarded_at:
            return
        await self.blobs.delete_prefix(locations.work_of(context.tenant, message.job_id))
        await self._drop_upload(context.tenant, message.upload_id)

    async def _forget(self, tenant: TenantId, job: Job) -> None:
        """Remove what a job of a deleted video still wrote while it was being stopped."""
        await self.blobs.delete_prefix(locations.work_of(tenant, job.id))
        await self.blobs.delete_prefix(locations.pictures(tenant, job.subject))
        if source := source_of(job.params, job.outputs):
            await self._drop_results(tenant, source)
        await self._drop_upload(tenant, job.params.get("upload_id"))

    async def _drop_work(self, tenant: TenantId, job: Job) -> None:
        """Remove what attempts kept up to this end of the job; a retry may have begun meanwhile."""
        for fence in await self.blobs.folders(locations.work_of(tenant, job.id)):
            if fence.isdecimal() and int(fence) <= job.fence:
                await self.blobs.delete_prefix(locations.work_by(tenant, job.id, int(fence)))

    async def _drop_results(self, tenant: TenantId, source: str, file_id: str = "") -> None:
        """Let a file go, and with the last one of its bytes what was made of them. Only what is
        there before that is removed: the same bytes may be uploaded again at this moment.
        """
        prefix = locations.results_of(tenant, source)
        there = await self.blobs.listed(prefix)
        if await self.results.drop(tenant, source, file_id):
            await self.blobs.delete_listed(prefix, there)

    async def _drop_upload(self, tenant: TenantId, upload_id: str | None) -> None:
        """Remove an upload if there was one, also where it was moved to if nobody recorded that it
        has become a file: nothing else would ever remove it.
        """
        if not upload_id:
            return
        await self.blobs.delete(locations.incoming(tenant, upload_id))
        await self.pieces.drop(tenant, upload_id)
        file_id = file_of(upload_id)
        if not await self.records.exists(file_key(tenant, file_id)):
            await self.blobs.delete_prefix(locations.files(tenant, file_id))
            await self.space.give(tenant, file_id)


def may_go_on(job: Job) -> bool:
    """Whether this job, or a retry of it, needs its upload and what it kept for itself.

    It does while it has not ended: it may have been retried since its end was told. It does when
    it failed of anything but its content, or was cancelled after a step was done. Whoever cancels
    a job before its upload was taken in withdraws the upload: no video would ever show these bytes
    or let them be deleted. A retry of that job says ``upload_gone`` and asks for a new upload.
    """
    if job.state == "failed":
        return job.error is None or job.error.error_class != "bad_input"
    if job.state == "cancelled":
        return bool(job.outputs)
    return job.state not in {"succeeded", "expired"}


def rests_on_work(job: Job) -> bool:
    """Whether later steps need files of the job's own work area. Files of results lie elsewhere;
    what else is in there are checkpoints, which do not outlive the end of a job.
    """
    own = locations.work_of(tenant_id(job.tenant), job.id)
    outputs = job.outputs.values()
    return any(each.key.startswith(own) for output in outputs for each in output.artifacts)
