"""What a release brings becomes production where nobody decided otherwise."""

import shutil

from backend.registry import versions
from tests.unit.registry.registry_stage import Stage


def test_a_shipped_version_is_entered_and_production_from_the_start(stage: Stage):
    assert stage.production() == ("1", 1)
    assert stage.actions() == [("registered", "1"), ("adopted", "1")]
    shown = versions.get_version("adder", "1")
    assert (shown.shipped, shown.registered_by) == (True, "release")


def test_adopting_again_changes_nothing(stage: Stage):
    before = stage.verified()
    stage.adopt()
    assert stage.verified() == before
    assert before.first_fault is None


def test_a_newer_release_takes_the_place_of_an_older_one(stage: Stage):
    stage.ship(version="2")
    stage.adopt()
    assert stage.production() == ("2", 2)


def test_an_older_release_takes_its_place_back(stage: Stage):
    stage.ship(version="2")
    stage.adopt()
    stage.ship(version="1")
    stage.adopt()
    assert stage.production() == ("1", 3)


def test_what_was_promoted_from_the_registry_stays(stage: Stage):
    stage.register("trained")
    stage.promote("trained")
    stage.ship(version="2")
    stage.adopt()
    assert stage.production() == ("trained", 2)
    assert versions.get_version("adder", "2").state == "registered", "it may be promoted"


def test_a_model_that_was_unloaded_stays_unloaded(stage: Stage):
    stage.unload()
    stage.ship(version="2")
    stage.adopt()
    assert stage.production() == (None, 2)


def test_who_went_back_to_an_older_release_is_not_overruled_at_the_next_start(stage: Stage):
    stage.ship(version="2")
    stage.adopt()
    stage.rollback()
    stage.adopt()
    assert stage.production() == ("1", 3)
    stage.ship(version="3")
    stage.adopt()
    assert stage.production() == ("3", 4), "the next release is new to everybody"


def test_a_model_whose_files_are_broken_is_left_as_it_is_and_keeps_no_other_back(stage: Stage):
    stage.ship(version="2")
    (stage.root / "adder" / "2" / "weights.txt").write_bytes(b"altered")
    stage.ship("other")
    stage.adopt()
    assert stage.production() == ("1", 1)
    assert stage.production("other") == ("1", 1)
    shutil.rmtree(stage.root / "adder" / "2")
    stage.adopt()
    assert [one.version for one in versions.list_versions("adder")] == ["1"]


def test_a_version_that_was_registered_here_may_be_shipped_later(stage: Stage):
    stage.ship(version="2")
    entry = stage.registry.shipped.entry("adder")
    stage.ship(version="1")
    stage.register("2", manifest_sha256=entry.manifest_sha256)
    stage.ship(version="2")
    stage.adopt()
    assert stage.production() == ("2", 2)
    assert len(versions.list_versions("adder")) == 2


def test_the_name_of_a_shipped_version_means_the_latest_of_that_name(stage: Stage):
    stage.ship(version="1", columns=(("c", "float64"),))
    stage.adopt()
    assert len(versions.list_versions("adder")) == 2
    assert stage.production() == ("1", 2)
    assert versions.get_version("adder", "1").columns[0].name == "c"
