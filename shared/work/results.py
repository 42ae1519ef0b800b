"""Results by content: what a step made of the same bytes in the same way is not made again.

The key of a result says what it follows from: the bytes of the source, the step, the version of
what carries it out, the parameters that matter to it, and the keys of the results it is made from.
So a changed parameter changes the keys of the step that minds it and of all that lies downstream,
and no others. A step is given nothing that its recipe does not name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from shared.blobs import locations
from shared.contracts.records import Job, StepOutput
from shared.contracts.results import Result
from shared.store.keys import resting_key, result_key, results_index, source_key
from shared.store.records import REFUSALS
from shared.store.redis import Store
from shared.store.scripts import Scripts
from shared.tenancy import TenantId
from shared.work.ledger import Claim

KEPT_SECONDS = 30 * 24 * 3600
"""How long a result is kept after its last use, unless told otherwise."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's result follows from beside the bytes of its source: its ``version``, which is
    raised when the same input would give another result, the ``params`` of the job that matter to
    it, and the steps whose results it ``needs``.
    """

    version: str
    params: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


class Place(NamedTuple):
    """Where a result belongs: the SHA-256 of its source and its own key, both in hex."""

    source: str
    key: str


def key_of(
    source: str, step: str, recipe: Recipe, params: Mapping[str, Any], needed: Mapping[str, str]
) -> str:
    """The key of a step's result, SHA-256 in hex; ``needed`` are the keys of earlier results."""
    told = {
        "source": source,
        "step": step,
        "version": recipe.version,
        "params": {name: params[name] for name in recipe.params if name in params},
        "needs": {name: needed[name] for name in recipe.needs},
    }
    encoded = msgspec.json.encode(told, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()


def source_of(params: Mapping[str, Any], outputs: Mapping[str, StepOutput]) -> str:
    """The SHA-256 in hex of the bytes that a job is about: as they were stored, or as its submitter
    said; empty when nobody knows.
    """
    stored = outputs.get("store")
    told = str((stored.result if stored else params).get("sha256", ""))
    return told if _SHA256.fullmatch(told) else ""


def place_of(
    job: Job, step: str, recipe: Recipe, outputs: Mapping[str, StepOutput]
) -> Place | None:
    """Where the result of a job's step belongs; None where it is not known what it follows from."""
    source = source_of(job.params, outputs)
    needed = {name: outputs[name].key for name in recipe.needs if name in outputs}
    if not source or not all(needed.get(name) for name in recipe.needs):
        return None
    return Place(source, key_of(source, step, recipe, job.params, needed))


def is_forced(job: Job, step: str) -> bool:
    """Whether a person has asked for this step, or one before it, to be done anew."""
    names = [each.name for each in job.steps]
    return job.forced in names and names.index(step) >= names.index(job.forced)


class Results:
    """The records of results. They are kept for ``seconds`` after their last use, and only while a
    file of the tenant has the bytes they were made of.
    """

    def __init__(self, store: Store, *, seconds: float = KEPT_SECONDS) -> None:
        self._redis = store.commands
        self._scripts = Scripts(store, "shared.work", "lua", REFUSALS)
        self._seconds = max(1, int(seconds))

    async def take(self, tenant: TenantId, place: Place, job_id: str) -> Result | None:
        """The result of this place, if there is one: it is used, and the job rests on it."""
        keys = self._keys(tenant, place)
        found = await self._scripts.call("result_take", keys, [job_id, self._seconds])
        return None if found is None else msgspec.json.decode(found, type=Result)

    async def keep(self, claim: Claim, tenant: TenantId, result: Result) -> bool:
        """Keep a result in place of the one before it; False when its source is gone. Refuses with
        :class:`~shared.store.records.StaleFence` when this attempt has lost its job.
        """
        place = Place(result.source, result.key)
        keys = [*self._keys(tenant, place), source_key(tenant, result.source), claim.key]
        encoded = msgspec.json.encode(result)
        args = (claim.job.id, self._seconds, claim.fence, encoded, result.key)
        return bool(await self._scripts.call("result_keep", keys, args))

    async def drop(self, tenant: TenantId, source: str, file_id: str = "") -> bool:
        """Let a file go; with the last one of these bytes go all results made of them. Answers
        whether no file has them any more.
        """
        keys = [source_key(tenant, source), results_index(tenant, source)]
        keys.append(resting_key(tenant, source))
        args = (file_id, result_key(tenant, source, ""))
        return bool(await self._scripts.call("result_drop", keys, args))

    async def makers(
        self, tenant: TenantId, source: str, keys: Iterable[str]
    ) -> set[locations.Made]:
        """Who made the results that are kept under these keys."""
        wanted = [result_key(tenant, source, key) for key in keys]
        found = await self._redis.mget(wanted) if wanted else []
        kept = [msgspec.json.decode(value, type=Result) for value in found if value is not None]
        return {locations.Made(each.key, each.job_id, each.fence) for each in kept}

    async def resting(self, tenant: TenantId, source: str) -> set[str]:
        """The jobs that rest, or have rested, on results of a source."""
        found = await self._redis.smembers(resting_key(tenant, source))
        return {job_id.decode() for job_id in cast("set[bytes]", found)}

    async def forget(self, tenant: TenantId, source: str, job_ids: Iterable[str]) -> None:
        """Jobs that nobody knows any more rest on nothing."""
        if gone := list(job_ids):
            await self._redis.srem(resting_key(tenant, source), *gone)

    @staticmethod
    def _keys(tenant: TenantId, place: Place) -> list[str]:
        return [
            result_key(tenant, *place),
            results_index(tenant, place.source),
            resting_key(tenant, place.source),
        ]
