"""Moves of production: what lets them happen, what refuses them, and that a refusal changes nothing."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta

import pytest

from backend.errors import ArtifactError, Conflict, InputError, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.registry import lifecycle, versions
from backend.registry.lifecycle import MOVE_SECONDS
from backend.registry.states import Alias
from backend.registry.tables import ModelAlias
from tests.said import said_by
from tests.unit.registry.registry_stage import MB, Stage, standing

# --- promotion


def test_a_version_that_passes_its_check_becomes_production(registered: Stage):
    registered.memory["2"] = 7 * MB
    assert registered.promote() == 2
    assert registered.production() == ("2", 2)
    assert registered.checked == ["2"]
    assert registered.hints.given == ["adder"]
    shown = versions.get_version("adder", "2")
    assert (shown.state, shown.memory_bytes, shown.load_seconds) == ("production", 7 * MB, 0.5)
    assert versions.get_version("adder", "1").state == "registered"
    assert registered.verified().first_fault is None


def test_a_version_that_fails_its_check_changes_nothing(registered: Stage, unchanged: Callable[[], None]):
    registered.broken.add("2")
    with pytest.raises(ArtifactError, match="version 2 is broken"):
        registered.promote()
    unchanged()
    registered.broken.clear()
    assert registered.promote() == 2


@pytest.mark.parametrize("by", ["Ravi", "ravi", "  RAVI ", "Ｒａｖｉ"])  # noqa: RUF001 - the last in full width
def test_whoever_registered_a_version_does_not_promote_it(registered: Stage, unchanged, by: str):
    with pytest.raises(Conflict, match="Ravi registered version 2 of model adder; somebody else must promote it"):
        registered.promote(by=by)
    unchanged()
    assert registered.checked == [], "nothing is tried for what is refused"


def test_one_person_is_enough_where_the_installation_says_so(registered: Stage):
    registered.registry = dataclasses.replace(registered.registry, two_persons=False)
    assert registered.promote(by="Ravi") == 2


def test_one_person_is_enough_for_what_was_shipped_and_for_staging(registered: Stage):
    assert registered.promote(by="Ravi", alias=Alias.STAGING) == 1
    registered.promote()
    assert registered.promote("1", by="release") == 3


@pytest.mark.parametrize(
    ("columns", "difference"),
    [
        ([("a", "float64")], "missing: b"),
        ([("a", "float64"), ("b", "float64"), ("c", "float64")], "new: c"),
        ([("a", "float64"), ("b", "int32")], r"of another type: b \(float64 became int32\)"),
        ([("b", "float64"), ("a", "float64")], "in another order: b, a"),
    ],
)
def test_a_version_of_other_columns_is_refused(stage: Stage, columns, difference: str):
    stage.register(columns=columns)
    with pytest.raises(InputError, match=f"takes other columns than 1, which is production: {difference}"):
        stage.promote()
    assert (stage.production(), stage.checked) == (("1", 1), [])
    stage.unload()
    assert stage.promote() == 3, "nothing is replaced that callers know"


def test_a_version_that_is_production_is_not_promoted_again(registered: Stage):
    registered.promote()
    with pytest.raises(Conflict, match="version 2 of model adder is production already; reload the model"):
        registered.promote()
    assert registered.production() == ("2", 2)


def test_unknown_models_and_versions_are_not_found(registered: Stage, unchanged: Callable[[], None]):
    with pytest.raises(NotFound, match="no version 9 of model adder"):
        registered.promote("9")
    for act in (registered.promote, registered.rollback, registered.reload, registered.unload):
        with pytest.raises(NotFound, match="no model unknown"):
            act(model="unknown")
    unchanged()
    assert standing("unknown", Alias.PRODUCTION) is None


def test_nobody_promotes_without_a_reason(registered: Stage, unchanged: Callable[[], None]):
    with pytest.raises(ValidationFailed, match="reason"):
        registered.promote(reason=" ")
    unchanged()


def test_a_model_that_was_never_shipped_begins_with_its_first_promotion(stage: Stage):
    stage.register(model="trained")
    stage.broken.add("2")
    with pytest.raises(ArtifactError):
        stage.promote(model="trained")
    assert stage.production("trained") is None
    with pytest.raises(Conflict, match="no version of model trained is production"):
        stage.unload("trained")
    assert stage.production("trained") is None
    stage.broken.clear()
    assert stage.promote(model="trained") == 1
    assert stage.production("trained") == ("2", 1)


def test_a_shipped_model_is_entered_before_its_first_move(stage: Stage):
    stage.ship("late")
    stage.register(model="late", columns=[("c", "float64")])
    with pytest.raises(InputError, match="takes other columns than 1"):
        stage.promote(model="late")
    assert stage.production("late") == ("1", 1)


# --- memory


def test_what_would_not_fit_beside_all_that_is_production_is_refused(registered: Stage):
    registered.promote()  # 10 MB
    registered.ship("other")
    registered.adopt()  # of a size that is found out now
    registered.memory["1"] = 4 * MB
    registered.register("3")
    registered.registry = dataclasses.replace(registered.registry, memory_bytes=34 * MB)
    registered.memory["3"] = 20 * MB + 1
    with pytest.raises(Conflict, match=r"needs 21 MB beside the 14 MB of .*; together they may take 34 MB"):
        registered.promote("3")
    assert versions.get_version("other", "1").memory_bytes == 4 * MB
    assert registered.production() == ("2", 2)
    assert versions.get_version("adder", "3").memory_bytes is None
    registered.memory["3"] = 20 * MB
    assert registered.promote("3") == 3


def test_what_serves_and_cannot_be_measured_takes_no_memory(registered: Stage):
    registered.broken.add("1")
    registered.registry = dataclasses.replace(registered.registry, memory_bytes=10 * MB)
    with said_by(lifecycle) as logs:
        assert registered.promote() == 2
    assert str(logs[0]["reason"]) == "model adder: version 1 is broken"


def test_a_size_that_is_known_is_looked_at_before_anything_is_loaded(stage: Stage):
    stage.register(memory_bytes=31 * MB)
    stage.registry = dataclasses.replace(stage.registry, memory_bytes=30 * MB)
    with pytest.raises(Conflict, match="needs 31 MB"):
        stage.promote()
    assert stage.checked == []


# --- one move at a time


def test_while_a_move_is_prepared_every_other_is_refused(registered: Stage):
    registered.register("3")
    refused = []

    def meanwhile() -> None:
        for act in (lambda: registered.promote("3"), registered.rollback, registered.reload, registered.unload):
            with pytest.raises(Conflict, match="is being changed already"):
                act()
            refused.append(act)

    registered.meanwhile = meanwhile
    assert registered.promote() == 2
    assert len(refused) == 4
    assert registered.promote("3") == 3


def test_a_move_that_was_killed_keeps_others_back_for_a_while_only(registered: Stage):
    with transaction() as session:
        row = session.get_one(ModelAlias, ("adder", "production"))
        row.moving_until = registered.clock.moment + timedelta(seconds=MOVE_SECONDS)
    with pytest.raises(Conflict, match="is being changed already"):
        registered.promote()
    registered.clock.moment += timedelta(seconds=MOVE_SECONDS)
    assert registered.promote() == 2


def test_a_move_that_took_too_long_does_not_undo_the_one_that_took_over(registered: Stage):
    registered.register("3")

    def meanwhile() -> None:
        registered.clock.moment += timedelta(seconds=MOVE_SECONDS + 1)
        registered.promote("3")

    registered.meanwhile = meanwhile
    with pytest.raises(Conflict, match="was changed by somebody else meanwhile"):
        registered.promote()
    assert registered.production() == ("3", 2)


def test_a_version_that_is_archived_while_it_is_checked_does_not_become_production(registered: Stage):
    registered.meanwhile = lambda: registered.archive("2")
    with pytest.raises(Conflict, match="version 2 of model adder is archived"):
        registered.promote()
    assert registered.production() == ("1", 1)


def test_a_release_that_is_adopted_while_a_version_is_checked_stays(registered: Stage):
    def release() -> None:
        registered.ship(version="next", columns=[("c", "float64")])
        registered.adopt()

    registered.meanwhile = release
    with pytest.raises(Conflict, match="was changed by somebody else meanwhile"):
        registered.promote()
    assert registered.production() == ("next", 2)
    assert registered.verified().first_fault is None


def test_what_others_promote_while_a_version_is_checked_counts_against_the_memory(registered: Stage):
    registered.ship("other")
    registered.register("2", model="other")
    registered.registry = dataclasses.replace(registered.registry, memory_bytes=15 * MB)
    registered.meanwhile = lambda: registered.promote(model="other")
    registered.memory["1"] = 0
    with pytest.raises(Conflict, match="needs 10 MB beside the 10 MB"):
        registered.promote()
    assert (registered.production(), registered.production("other")) == (("1", 1), ("2", 2))


# --- staging


def test_staging_is_moved_without_a_check_and_tells_nobody(registered: Stage):
    assert registered.promote(alias=Alias.STAGING) == 1
    assert standing("adder", Alias.STAGING) == ("2", 1)
    assert (registered.production(), registered.checked, registered.hints.given) == (("1", 1), [], [])
    with pytest.raises(Conflict, match="version 2 of model adder is staging already"):
        registered.promote(alias=Alias.STAGING)
    assert registered.promote("1", alias=Alias.STAGING) == 2
