"""Versions: entered once under one name, found, tagged, put away."""

import pytest

from backend.errors import Conflict, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.registry import versions
from backend.registry.states import Alias, VersionState
from tests.unit.registry.registry_stage import MB, WHO, Stage, make_manifest, new_version


def test_a_registered_version_is_shown_with_its_lineage_and_entered_in_the_ledger(stage: Stage):
    manifest = make_manifest(version="2")
    training = manifest.training.model_copy(update={"code": "4f2a", "parent": "1"})
    manifest = manifest.model_copy(update={"training": training})
    new = new_version(manifest=manifest, memory_bytes=5 * MB, load_seconds=0.2, tags={"purpose": "trial"})
    shown = versions.register(new, at=stage.clock())
    assert (shown.state, shown.aliases, shown.registered_by, shown.tags) == (
        VersionState.REGISTERED,
        (),
        "Ravi",
        {"purpose": "trial"},
    )
    assert (shown.training.code, shown.training.parent) == ("4f2a", "1")
    assert (shown.sha256, shown.memory_bytes) == (manifest.sha256, 5 * MB)
    assert versions.get_version("adder", "2") == shown
    assert stage.actions()[-1] == ("registered", "2")


def test_the_versions_of_a_model_are_listed_the_latest_first_with_their_states(stage: Stage):
    for version in ("2", "3", "4"):
        stage.register(version)
    stage.promote("3", alias=Alias.STAGING)
    stage.archive("4")
    states = [(one.version, one.state.value) for one in versions.list_versions("adder")]
    assert states == [("4", "archived"), ("3", "staging"), ("2", "registered"), ("1", "production")]
    assert versions.list_versions("unknown") == []


def test_the_very_same_manifest_is_registered_once(stage: Stage):
    stage.register()
    with pytest.raises(Conflict, match="has this very manifest as version 2 already"):
        stage.register()


@pytest.mark.parametrize("taken", ["1", "2"], ids=["shipped", "registered"])
def test_a_name_stands_for_one_version(stage: Stage, taken: str):
    stage.register()
    before = stage.actions()
    with pytest.raises(Conflict, match=f"has another version {taken} already"):
        versions.register(new_version(version=taken, manifest_sha256="f" * 64), at=stage.clock())
    assert stage.actions() == before


def test_numbers_that_are_none_are_stored_as_such(stage: Stage):
    manifest = make_manifest(version="2", metrics={"auc": float("nan")})
    shown = versions.register(new_version(manifest=manifest), at=stage.clock())
    assert shown.metrics == {"auc": None}


@pytest.mark.parametrize(
    "changes",
    [
        {"registered_by": " "},
        {"registered_by": "x" * 201},
        {"tags": {"": "x"}},
        {"tags": {"x": "line\nbreak"}},
        {"tags": {str(number): "x" for number in range(51)}},
    ],
)
def test_what_cannot_be_stored_or_attributed_is_refused(stage: Stage, changes: dict[str, object]):
    with pytest.raises(ValidationFailed):
        versions.register(new_version(**changes), at=stage.clock())
    assert [one.version for one in versions.list_versions("adder")] == ["1"]


def test_a_version_that_is_not_there_is_not_found(stage: Stage):
    with transaction(read_only=True) as session, pytest.raises(NotFound, match="no version 9 of model adder"):
        versions.find(session, "adder", "9")


def test_tags_are_set_and_removed_and_the_ledger_says_which(stage: Stage):
    stage.register(tags={"owner": "Ravi", "purpose": "trial"})
    changes = {"owner": None, "purpose": "service"}
    shown = versions.tag(model="adder", version="2", tags=changes, by="Asha", at=stage.clock())
    assert shown.tags == versions.get_version("adder", "2").tags == {"purpose": "service"}
    with transaction(read_only=True) as session:
        (entry,) = versions.ledger.entries(session, model="adder", limit=1)
    assert (entry.action, entry.reason) == ("tagged", "no owner, purpose=service")


@pytest.mark.parametrize("alias", list(Alias))
def test_a_version_that_an_alias_names_is_not_archived(stage: Stage, alias: Alias):
    stage.register()
    stage.promote(alias=alias)
    with pytest.raises(Conflict, match=f"version 2 of model adder is named by {alias}"):
        stage.archive("2")


def test_an_archived_version_is_promoted_only_after_it_was_restored(stage: Stage):
    stage.register()
    assert stage.archive("2").state is VersionState.ARCHIVED
    with pytest.raises(Conflict, match="archived already"):
        stage.archive("2")
    for alias in Alias:
        with pytest.raises(Conflict, match="is archived; restore it first"):
            stage.promote(alias=alias)
    assert stage.restore("2").state is VersionState.REGISTERED
    with pytest.raises(Conflict, match="is not archived"):
        stage.restore("2")
    assert stage.promote() == 2


def test_nothing_is_archived_without_a_reason(stage: Stage):
    stage.register()
    with pytest.raises(ValidationFailed, match="reason: must have 1 to 500 characters"):
        versions.archive(model="adder", version="2", at=stage.clock(), **{**WHO, "reason": ""})
    assert versions.get_version("adder", "2").archived_at is None
