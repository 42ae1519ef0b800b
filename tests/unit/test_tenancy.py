from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.blobs import locations
from shared.errors import Invalid
from shared.store import keys
from shared.tenancy import (
    TenantId,
    blob_key,
    blob_tenant,
    record_key,
    routing_key,
    tenant_id,
)
from shared.work.jobs import job_key, jobs_index

ACME, OTHER = tenant_id("acme"), tenant_id("other")
SOURCE, MADE = "5" * 64, locations.Made("7" * 64, "0191d8a0-7c1e-7b3a-8f00-5a1d2c3b4e02", 3)
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize("name", ["a", "0", "acme", "a-b", "x" * 63, "1-2-3"])
def test_a_name_of_lower_case_letters_digits_and_inner_hyphens_is_one(name: str) -> None:
    assert tenant_id(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a-", "A", "a.b", "a:b", "a/b", "a b", "a*", "#", "..", "x" * 64, "a\n", "ä", "_"],
)
def test_anything_else_is_no_tenant(name: str) -> None:
    with pytest.raises(Invalid, match="tenant name"):
        tenant_id(name)


def test_a_refused_name_is_shown_shortened() -> None:
    with pytest.raises(Invalid) as refused:
        tenant_id("X" * 10_000)
    assert len(refused.value.detail) < 120


def test_a_record_key_names_the_tenant_after_the_prefix() -> None:
    assert record_key(ACME, "video", "v1") == "rw:t:acme:video:v1"


def test_a_blob_key_begins_with_the_tenant() -> None:
    assert blob_key(ACME, "files", "f1", "original") == "acme/files/f1/original"
    assert blob_tenant("acme/files/f1/original") == ACME


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "/a", "a\\b", "a b", "a\x00", "-a", ".a"])
def test_a_part_of_a_blob_key_cannot_climb_or_hide(part: str) -> None:
    with pytest.raises(Invalid, match="blob key"):
        blob_key(ACME, "files", part)


def test_keys_are_not_built_for_what_is_no_tenant() -> None:
    for build in (record_key, blob_key):
        with pytest.raises(Invalid):
            build(TenantId("acme:video"), "x")


def test_a_routing_key_has_an_underscore_where_no_tenant_is_concerned() -> None:
    assert routing_key("acme", "jobs.submit.v1") == "acme.jobs.submit.v1"
    assert routing_key("", "work.ring.v1") == "_.work.ring.v1"


@given(names, names)
def test_keys_of_two_tenants_never_meet(one: str, other: str) -> None:
    first, second = tenant_id(one), tenant_id(other)
    for build in (record_key, blob_key):
        is_same = build(first, "a", "b") == build(second, "a", "b")
        assert is_same == (one == other)
    assert blob_tenant(blob_key(first, "a")) == first


@given(names, names)
def test_no_key_of_one_tenant_lies_below_another(one: str, other: str) -> None:
    if one != other:
        assert not blob_key(tenant_id(one), "a").startswith(f"{other}/")
        assert not record_key(tenant_id(one), "a").startswith(f"rw:t:{other}:")


def test_every_key_of_a_record_differs_between_tenants_and_from_every_other_kind() -> None:
    one_id = (
        keys.accepted_key,
        keys.file_key,
        keys.video_key,
        keys.deleted_key,
        keys.layout_key,
        keys.frames_key,
        keys.captions_key,
        keys.source_key,
        keys.results_index,
        keys.resting_key,
        lambda tenant, one: keys.result_key(tenant, one, one),
        job_key,
    )
    built = [build(tenant, "same") for tenant in (ACME, OTHER) for build in one_id]
    built += [
        build(tenant)
        for tenant in (ACME, OTHER)
        for build in (keys.tenant_key, keys.videos_index, jobs_index)
    ]
    assert len(set(built)) == len(built)
    assert all(key.startswith(("rw:t:acme:", "rw:t:other:")) for key in built)


def test_every_location_of_a_blob_lies_below_its_tenant() -> None:
    built = [
        locations.incoming(ACME, "u"),
        locations.original(ACME, "f"),
        locations.files(ACME, "f"),
        locations.work(ACME, "j", 3, "crops.bin"),
        locations.work_by(ACME, "j", 3),
        locations.work_of(ACME, "j"),
        locations.result(ACME, SOURCE, MADE, "crops.bin"),
        locations.results_of(ACME, SOURCE),
        locations.results(ACME),
        locations.picture(ACME, "v", "j", "poster.jpg"),
        locations.picture(ACME, "v", "j", "poster.jpg", 2),
        locations.pictures_by(ACME, "v", "j", 2),
        locations.pictures(ACME, "v"),
    ]
    assert {blob_tenant(key) for key in built} == {ACME}
    assert len(set(built)) == len(built)


def test_a_blob_of_a_result_says_who_made_it() -> None:
    key = locations.result(ACME, SOURCE, MADE, "crops.bin")
    assert locations.made_of(key) == MADE
    assert key.startswith(locations.results_of(ACME, SOURCE))
    assert locations.made_of(locations.work(ACME, "j", 3, "crops.bin")) is None
    assert locations.made_of(f"{key}/deeper") is None


@pytest.mark.parametrize("epoch", [1, 2])
def test_pictures_of_an_epoch_lie_in_a_folder_of_their_own(epoch: int) -> None:
    key = locations.picture(ACME, "v", "j", "poster.jpg", epoch)
    below = {n for n in (1, 2) if key.startswith(locations.pictures_by(ACME, "v", "j", n))}
    assert below == {epoch}


def test_attempts_of_one_job_write_into_folders_of_their_own() -> None:
    one, two = (locations.work(ACME, "j", fence, "a.json") for fence in (1, 2))
    assert one != two
    assert one.startswith(locations.work_of(ACME, "j"))
    assert two.startswith(locations.work_of(ACME, "j"))
