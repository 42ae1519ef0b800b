"""Under which key each published record is found. The owner is named in ``records``."""

from __future__ import annotations

from hashlib import sha256

from shared.tenancy import TenantId, record_key

TENANTS = "rw:tenants"
"""Index of all tenants."""

CAPTION_CHANGES = "rw:catalog:changes"
"""Stream of the videos whose captions changed, for search indexes to follow."""


def tenant_key(tenant: TenantId) -> str:
    """The tenant's own record."""
    return record_key(tenant, "tenant")


def accepted_key(tenant: TenantId, any_id: str) -> str:
    """What was answered with 202, by the id of its video or of its job."""
    return record_key(tenant, "accepted", any_id)


def upload_key(tenant: TenantId, upload_id: str) -> str:
    """An upload that arrives in pieces."""
    return record_key(tenant, "upload", upload_id)


def pieces_key(tenant: TenantId, upload_id: str) -> str:
    """The pieces of an upload, in their order."""
    return f"{upload_key(tenant, upload_id)}:pieces"


def signing_key(tenant: TenantId) -> str:
    """The secret that the tenant's signed addresses rest on."""
    return record_key(tenant, "signing")


def share_key(tenant: TenantId, share_id: str) -> str:
    """A share link."""
    return record_key(tenant, "share", share_id)


def share_log_key(tenant: TenantId, share_id: str) -> str:
    """Who came by a share link."""
    return f"{share_key(tenant, share_id)}:log"


def shares_index(tenant: TenantId, video_id: str) -> str:
    """Index of the share links of a video."""
    return record_key(tenant, "shares", video_id)


def link_key(digest: str) -> str:
    """Which share link a token belongs to, by the token's SHA-256 in hex. The token comes from
    somebody who is nobody's: this key is under no tenant.
    """
    return f"rw:link:{digest}"


def space_key(tenant: TenantId) -> str:
    """How many bytes the tenant has, by file."""
    return record_key(tenant, "space")


def file_key(tenant: TenantId, file_id: str) -> str:
    """A file."""
    return record_key(tenant, "file", file_id)


def source_key(tenant: TenantId, source: str) -> str:
    """Index of the files that have these bytes, by their SHA-256 in hex."""
    return record_key(tenant, "source", source)


def result_key(tenant: TenantId, source: str, key: str) -> str:
    """What a step made of a source."""
    return record_key(tenant, "result", source, key)


def results_index(tenant: TenantId, source: str) -> str:
    """Index of the results that were made of a source."""
    return record_key(tenant, "results", source)


def resting_key(tenant: TenantId, source: str) -> str:
    """Index of the jobs that rest on results of a source."""
    return record_key(tenant, "resting", source)


def video_key(tenant: TenantId, video_id: str) -> str:
    """A video."""
    return record_key(tenant, "video", video_id)


def videos_index(tenant: TenantId) -> str:
    """Index of a tenant's videos."""
    return record_key(tenant, "videos")


def trash_index(tenant: TenantId) -> str:
    """Index of a tenant's videos that are in the trash."""
    return record_key(tenant, "trash")


def deleted_key(tenant: TenantId, video_id: str) -> str:
    """The mark of a video that was deleted, so that late work does not bring it back."""
    return record_key(tenant, "deleted", video_id)


def layout_key(tenant: TenantId, video_id: str) -> str:
    """Where a video's captions stand."""
    return record_key(tenant, "layout", video_id)


def frames_key(tenant: TenantId, video_id: str) -> str:
    """A video's sampled pictures."""
    return record_key(tenant, "frames", video_id)


def captions_key(tenant: TenantId, video_id: str) -> str:
    """A video's captions."""
    return record_key(tenant, "captions", video_id)


def idempotency_key(tenant: TenantId, given: str) -> str:
    """What became of the request that brought this ``Idempotency-Key``. Only its SHA-256 is part of
    the key: clients may put anything into theirs.
    """
    return record_key(tenant, "idempotency", sha256(given.encode()).hexdigest())


def library_key(tenant: TenantId, library: str) -> str:
    """A folder that is indexed in place."""
    return record_key(tenant, "library", library)


def libraries_index(tenant: TenantId) -> str:
    """Index of a tenant's libraries."""
    return record_key(tenant, "libraries")


def library_file_key(tenant: TenantId, file_id: str) -> str:
    """What is known of a file in a library."""
    return record_key(tenant, "library-file", file_id)


def library_files_index(tenant: TenantId, library: str) -> str:
    """Index of the files of a library."""
    return record_key(tenant, "library", library, "files")
