"""Libraries: folders of videos that are indexed where they lie."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web

from services.gateway import library_schemas as schemas
from services.gateway import library_views as views
from services.gateway.asking import ask
from services.gateway.auth import tenant_of
from services.gateway.cleaning import clean
from services.gateway.door import DOOR, Door
from services.gateway.idempotency import attempt_of
from services.gateway.schemas import Page
from shared.contracts.library import Folder, Library, LibraryFile, ListFolders, ScanFolder, ScanPlan
from shared.errors import Conflict, NotFound
from shared.http.bodies import json_reply, read_json_or, read_query
from shared.http.routes import Route
from shared.ids import is_id
from shared.store.keys import library_file_key, library_files_index, library_key
from shared.store.scan import scan
from shared.tenancy import TenantId

LIBRARIES = "/v1/libraries"
LIBRARY = f"{LIBRARIES}/{{library}}"
_FLOW = "scan_library"


class FilesPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which files, and which page of them."""

    state: Annotated[
        str,
        msgspec.Meta(
            pattern="^(waiting|present|missing|refused|ignored)?$", description="All, if not told"
        ),
    ] = ""


async def list_libraries(request: web.Request) -> web.StreamResponse:
    """Every folder that is set for the tenant, as it is at this moment."""
    found = await ask(request, ListFolders())
    return json_reply(schemas.Libraries(items=tuple(views.folder(each) for each in found.items)))


async def get_library(request: web.Request) -> web.StreamResponse:
    """One folder as it is at this moment."""
    return json_reply(views.folder(await _folder(request)))


async def list_files(request: web.Request) -> web.StreamResponse:
    """Newest first. Go on with `cursor` from `next` of the page before. Each request looks at no
    more than 1,000 files, so a page may hold less than `limit`, or nothing, and still have a
    `next`.
    """
    door, tenant = request.app[DOOR], tenant_of(request)
    page, library = read_query(request, FilesPage), request.match_info["library"]
    if not is_id(library) or not await door.records.exists(library_key(tenant, library)):
        await _folder(request)
    found = await scan(
        partial(_files, door, tenant, library),
        page.cursor,
        page.limit,
        (lambda file: file.state == page.state) if page.state else None,
    )
    return json_reply(
        schemas.LibraryFiles(items=tuple(map(views.file, found.items)), next=found.next)
    )


async def _files(
    door: Door, tenant: TenantId, library: str, before: str, limit: int
) -> list[LibraryFile]:
    ids = await door.records.page(library_files_index(tenant, library), before, limit)
    keys = [library_file_key(tenant, each) for each in ids]
    return await door.records.get_many(LibraryFile, keys)


async def scan_library(request: web.Request) -> web.StreamResponse:
    """Look through the folder, once the scan before has ended. The answer names the job; what it
    did, or would do, is at `plan_url` when that has succeeded.
    """
    body = await read_json_or(request, schemas.ScanBody())
    query = ScanFolder(
        library=request.match_info["library"],
        job_id=attempt_of(request).id("job"),
        dry_run=body.dry_run,
        force=body.force,
        include_ignored=body.include_ignored,
    )
    asked = await ask(request, query)
    begun = schemas.ScanBegun(
        library=asked.library,
        job=asked.job_id,
        plan_url=f"{LIBRARIES}/{asked.library}/scans/{asked.job_id}",
    )
    return json_reply(begun, status=202)


async def get_scan(request: web.Request) -> web.StreamResponse:
    """A scan and its plan."""
    door, tenant = request.app[DOOR], tenant_of(request)
    library, job_id = request.match_info["library"], request.match_info["job"]
    job = await door.jobs.get(tenant, job_id) if is_id(job_id) else None
    if job is None:
        record = await door.records.get(Library, library_key(tenant, library))
        if record is None or record.scan_job != job_id:
            raise NotFound("there is no such scan")
        return json_reply(_scan(library, job_id, "accepted", None))
    if (job.flow, job.subject) != (_FLOW, library):
        raise NotFound("there is no such scan")
    output = job.outputs.get("scan")
    plan = msgspec.convert(output.result, ScanPlan) if output else None
    return json_reply(_scan(library, job_id, job.state, plan))


def _scan(library: str, job_id: str, state: str, plan: ScanPlan | None) -> schemas.ScanView:
    shown = views.plan(plan) if plan else None
    return schemas.ScanView(library=library, job=job_id, state=state, plan=shown)


async def clean_library(request: web.Request) -> web.StreamResponse:
    """Remove videos whose files are missing, with their captions; at most 100 in one request. No
    file is ever removed. The folder must be in order: what is unmounted is not missing.
    """
    folder, body = await _folder(request), await read_json_or(request, schemas.CleanBody())
    door, tenant = request.app[DOOR], tenant_of(request)
    files, before = list[LibraryFile](), ""
    while page := await _files(door, tenant, folder.id, before, 1000):
        files, before = files + page, page[-1].id
    return json_reply(await clean(request, body, folder, files))


async def _folder(request: web.Request) -> Folder:
    found = await ask(request, ListFolders())
    for folder in found.items:
        if folder.id == request.match_info["library"]:
            return folder
    raise NotFound("there is no such library")


ROUTES = (
    Route(
        method="GET",
        path=LIBRARIES,
        handler=list_libraries,
        summary="List libraries",
        name="list_libraries",
        reply=schemas.Libraries,
        tags=("libraries",),
        scope="read",
    ),
    Route(
        method="GET",
        path=LIBRARY,
        handler=get_library,
        summary="Show a library",
        name="get_library",
        reply=schemas.Library,
        errors=(NotFound,),
        tags=("libraries",),
        scope="read",
    ),
    Route(
        method="GET",
        path=f"{LIBRARY}/files",
        handler=list_files,
        summary="List the files of a library",
        name="list_library_files",
        query=FilesPage,
        reply=schemas.LibraryFiles,
        errors=(NotFound,),
        tags=("libraries",),
        scope="read",
    ),
    Route(
        method="POST",
        path=f"{LIBRARY}/scan",
        handler=scan_library,
        summary="Look through a library",
        name="scan_library",
        body=schemas.ScanBody,
        is_body_optional=True,
        reply=schemas.ScanBegun,
        status=202,
        errors=(NotFound, Conflict),
        tags=("libraries",),
        scope="write",
    ),
    Route(
        method="GET",
        path=f"{LIBRARY}/scans/{{job}}",
        handler=get_scan,
        summary="Show a scan",
        name="get_library_scan",
        reply=schemas.ScanView,
        errors=(NotFound,),
        tags=("libraries",),
        scope="read",
    ),
    Route(
        method="POST",
        path=f"{LIBRARY}/clean",
        handler=clean_library,
        summary="Remove videos whose files are missing",
        name="clean_library",
        body=schemas.CleanBody,
        is_body_optional=True,
        reply=schemas.Cleaned,
        errors=(NotFound, Conflict),
        tags=("libraries",),
        scope="write",
    ),
)
