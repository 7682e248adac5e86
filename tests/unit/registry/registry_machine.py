"""Decisions in any order, compared with a model of what they should lead to."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import delete, select, update

from backend.errors import ArtifactError, Conflict
from backend.extensions import transaction
from backend.inference.catalogue import Catalogue
from backend.registry import ledger, lifecycle, versions
from backend.registry.registry import current_registry
from backend.registry.states import Alias
from backend.registry.tables import LedgerEntry, ModelAlias, ModelVersion
from tests.unit.registry.registry_model import ExpectedModel, Version
from tests.unit.registry.registry_stage import COLUMNS, START, Clock, Stage, standing

HOUR = timedelta(hours=1)  # longer than any move is prepared, and than all the steps of a run take
MODELS = st.sampled_from(["adder", "other"])
PEOPLE = st.sampled_from(["Asha", "Ravi"])
NUMBERS = st.integers(min_value=0, max_value=9)
WRITTEN = [
    select(*(column for column in table.__table__.columns if column.name != "moving_until")).order_by(  # it may be over
        *table.__table__.primary_key
    )
    for table in (LedgerEntry, ModelAlias, ModelVersion)
]


class RegistryMachine(RuleBasedStateMachine):
    """Two models, two people, releases, processes that are killed, and somebody who alters the ledger."""

    def __init__(self, make_stage: Callable[[], Stage]) -> None:
        super().__init__()
        with transaction() as session:
            for table in (LedgerEntry, ModelAlias, ModelVersion):
                session.execute(delete(table))
        self.stage = make_stage()
        self.expected: dict[str, ExpectedModel] = defaultdict(ExpectedModel)
        self.named = 0
        for model in ("adder", "other"):
            self.release(model, again=False, number=0)

    # --- decisions

    @rule(model=MODELS, again=st.booleans(), number=NUMBERS)
    def release(self, model: str, *, again: bool, number: int):
        expected = self.expected[model]
        shipped = [one.name for one in expected.versions.values() if one.shipped]
        name = shipped[number % len(shipped)] if again and shipped else self._new_name()
        self.stage.ship(model, name)
        self.stage.adopt()
        expected.release(name, self.stage.clock.moment)

    @rule()
    def workers_start(self):
        before = self._written()
        self.stage.adopt()
        assert self._written() == before

    @rule(model=MODELS, by=PEOPLE, narrow=st.booleans())
    def register(self, model: str, by: str, *, narrow: bool):
        name = self._new_name()
        shown = self.stage.register(name, model=model, by=by, columns=COLUMNS[:1] if narrow else COLUMNS)
        self.expected[model].versions[name] = Version(name, by, narrow=narrow)
        assert shown.state == "registered"

    @rule(model=MODELS, number=NUMBERS, by=PEOPLE, broken=st.booleans())
    def promote(self, model: str, number: int, by: str, *, broken: bool):
        expected = self.expected[model]
        version = expected.pick(number)
        refusal = expected.refuses_promotion(version, by=by, broken=broken)
        self.stage.broken = {version.name} if broken else set()
        if self._decide(lambda: self.stage.promote(version.name, model=model, by=by), refusal):
            expected.name(version.name, self.stage.clock.moment)

    @rule(model=MODELS, number=NUMBERS)
    def stage_version(self, model: str, number: int):
        expected = self.expected[model]
        version = expected.pick(number)
        refusal = Conflict if version.archived or expected.staging == version.name else None
        if self._decide(lambda: self.stage.promote(version.name, model=model, alias=Alias.STAGING), refusal):
            expected.staging = version.name

    @rule(model=MODELS, by=PEOPLE, broken=st.booleans())
    def roll_back(self, model: str, by: str, *, broken: bool):
        expected = self.expected[model]
        self.stage.broken = {one for one in expected.versions if broken}
        if self._decide(lambda: self.stage.rollback(model, by=by), expected.refuses_rollback(broken=broken)):
            expected.roll_back(self.stage.clock.moment)

    @rule(model=MODELS, broken=st.booleans())
    def reload(self, model: str, *, broken: bool):
        expected = self.expected[model]
        self.stage.broken = {one for one in expected.versions if broken}
        refusal = expected.refuses_to_touch() or (ArtifactError if broken else None)
        if self._decide(lambda: self.stage.reload(model), refusal):
            expected.move(expected.production, self.stage.clock.moment)

    @rule(model=MODELS)
    def unload(self, model: str):
        expected = self.expected[model]
        if self._decide(lambda: self.stage.unload(model), expected.refuses_to_touch()):
            expected.move(None, self.stage.clock.moment)

    @rule(model=MODELS, number=NUMBERS)
    def archive(self, model: str, number: int):
        expected = self.expected[model]
        version = expected.pick(number)
        named = version.name in (expected.production, expected.staging)
        refusal = Conflict if version.archived or named else None
        if self._decide(lambda: self.stage.archive(version.name, model), refusal):
            version.archived = True

    @rule(model=MODELS, number=NUMBERS)
    def restore(self, model: str, number: int):
        version = self.expected[model].pick(number)
        refusal = None if version.archived else Conflict
        if self._decide(lambda: self.stage.restore(version.name, model), refusal):
            version.archived = False

    # --- what nobody decides

    @rule(model=MODELS)
    def a_process_is_killed_while_it_prepares_a_move(self, model: str):
        until = self.stage.clock() + HOUR
        with transaction() as session:
            session.get_one(ModelAlias, (model, "production")).moving_until = until
        self.expected[model].held = True

    @rule()
    def an_hour_passes(self):
        self.stage.clock.moment += HOUR
        for expected in self.expected.values():
            expected.held = False

    @rule(number=NUMBERS, column=st.sampled_from(["by", "reason", "version", "model", "previous_hash"]))
    def somebody_alters_an_entry(self, number: int, column: str):
        seq = 1 + number * (self.stage.verified().entries - 1) // 9
        with transaction() as session:
            before = getattr(session.get_one(LedgerEntry, seq), column)
            session.execute(update(LedgerEntry).where(LedgerEntry.seq == seq).values({column: "altered"}))
        found = self.stage.verified()
        assert (found.entries, found.first_fault and found.first_fault.seq) == (seq - 1, seq)
        with transaction() as session:
            session.execute(update(LedgerEntry).where(LedgerEntry.seq == seq).values({column: before}))

    # --- what always holds

    @invariant()
    def aliases_name_what_was_decided(self):
        for model, expected in self.expected.items():
            assert self.stage.production(model) == (expected.production, expected.generation)
            staged = standing(model, Alias.STAGING)
            assert (staged and staged[0]) == expected.staging

    @invariant()
    def nobody_keeps_others_back_but_who_was_killed(self):
        with transaction(read_only=True) as session:
            for row in session.scalars(select(ModelAlias)):
                kept = row.moving_until is not None and row.moving_until > self.stage.clock.moment
                assert kept == (row.alias == "production" and self.expected[row.model].held)

    @invariant()
    def each_version_has_its_state(self):
        for model, expected in self.expected.items():
            shown = {one.version: one.state.value for one in versions.list_versions(model)}
            assert shown == {one.name: expected.state(one) for one in expected.versions.values()}

    @invariant()
    def the_ledger_verifies(self):
        assert self.stage.verified().first_fault is None

    def teardown(self):
        """Ask what was live at, just before and just after every move."""
        moment = timedelta(microseconds=1)
        with transaction(read_only=True) as session:
            for model, expected in self.expected.items():
                moves = [move[0] for move in expected.history]
                for at in (START, *(around for move in moves for around in (move - moment, move, move + moment))):
                    live = ledger.live_at(session, model, at)
                    assert (live and (live.version, live.generation)) == expected.live_at(at)

    def _decide(self, act: Callable[[], object], refusal: type[Exception] | None) -> bool:
        """Do something that is refused as expected, and then leaves no trace; say whether it was done."""
        before = self._written()
        with nullcontext() if refusal is None else pytest.raises(refusal):
            act()
        if refusal is not None:
            assert self._written() == before
        return refusal is None

    def _written(self) -> list[object]:
        with transaction(read_only=True) as session:
            return [[tuple(row) for row in session.execute(query)] for query in WRITTEN]

    def _new_name(self) -> str:
        self.named += 1
        return f"v{self.named}"


def stages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Stage]:
    """Return what makes a stage of the current application, each with releases of its own."""
    numbers = count()

    def make() -> Stage:
        root, clock = folder / f"release_{next(numbers)}", Clock()
        monkeypatch.setattr(lifecycle, "utc_now", clock)
        return Stage(root, replace(current_registry(), shipped=Catalogue(root)), clock)

    return make
