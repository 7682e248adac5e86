"""Production goes back, is loaded anew, or is left empty."""

from collections.abc import Callable

import pytest

from backend.errors import ArtifactError, Conflict
from tests.unit.registry.registry_stage import Stage


def test_a_rollback_leads_to_the_version_before_and_needs_one_person(registered: Stage):
    registered.promote()
    assert registered.rollback(by="Ravi", reason="too many alarms") == 3
    assert registered.production() == ("1", 3)
    assert registered.actions()[-1] == ("rolled_back", "1")
    assert registered.hints.given == ["adder", "adder"]


def test_rollbacks_go_further_back_and_never_to_what_was_rolled_back(registered: Stage):
    registered.register("3")
    registered.promote()
    registered.promote("3")
    for expected in ("2", "1"):
        registered.rollback()
        assert registered.production()[0] == expected
    with pytest.raises(Conflict, match="production of model adder named no version before"):
        registered.rollback()


def test_a_rollback_to_an_archived_version_is_refused(registered: Stage):
    registered.promote()
    registered.archive("1")
    with pytest.raises(Conflict, match="version 1 of model adder is archived"):
        registered.rollback()
    registered.restore("1")
    assert registered.rollback() == 3


def test_a_rollback_to_what_can_no_longer_be_loaded_is_refused(registered: Stage):
    registered.promote()
    registered.broken.add("1")
    with pytest.raises(ArtifactError):
        registered.rollback()
    assert registered.production() == ("2", 2)


def test_a_rollback_after_an_unload_brings_the_version_back(registered: Stage):
    registered.promote()
    registered.unload()
    assert registered.production() == (None, 3)
    registered.rollback(by="Ravi")
    assert registered.production() == ("2", 4)
    registered.rollback()
    assert registered.production() == ("1", 5)


def test_a_reload_is_a_new_generation_of_the_same_version(registered: Stage):
    assert registered.reload() == 2
    assert registered.production() == ("1", 2)
    assert registered.actions()[-1] == ("reloaded", "1")
    assert (registered.checked, registered.hints.given) == (["1"], ["adder"])


def test_a_version_that_can_no_longer_be_loaded_is_not_reloaded(registered: Stage, unchanged: Callable[[], None]):
    registered.broken.add("1")
    with pytest.raises(ArtifactError):
        registered.reload()
    unchanged()


def test_what_is_unloaded_is_neither_reloaded_nor_unloaded(registered: Stage):
    assert registered.unload() == 2
    for act in (registered.reload, registered.unload):
        with pytest.raises(Conflict, match="no version of model adder is production"):
            act()
    assert registered.production() == (None, 2)
