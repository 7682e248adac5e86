"""Injecting faults, one after the other, each put right again at its end."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.plan import Fault, FaultKind
from tests.chaos.processes import Programs
from tests.chaos.proxy import FaultyProxy
from tests.chaos.services import Postgres, filled

TRAP_SECONDS = 20.0  # the load rings several times a second


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault that was injected; it ended when what it had broken was started again or let go on."""

    kind: FaultKind
    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class Field:
    """What faults are done to."""

    programs: Programs
    broker: FaultyProxy
    database: FaultyProxy
    postgres: Postgres
    disk: Path
    trap: Path


class Injector:
    """Carries out a plan."""

    def __init__(self, field: Field, say: Callable[[str], None]) -> None:
        self._field = field
        self._say = say
        self.happened: list[Happened] = []

    def carry_out(self, plan: list[Fault]) -> None:
        for number, fault in enumerate(plan, start=1):
            time.sleep(fault.after)
            self._say(f"{number:3}/{len(plan)}  {fault.kind}, {fault.lasts:.1f} s")
            began = datetime.now(UTC)
            self._inject(fault)
            self.happened.append(Happened(fault.kind, began, datetime.now(UTC)))

    def _inject(self, fault: Fault) -> None:  # noqa: C901, PLR0912 - a table of one-liners
        field = self._field
        match fault.kind:
            case FaultKind.INTERACTIVE_KILLED:
                self._kill(f"interactive-{fault.which + 1}", fault.lasts)
            case FaultKind.BATCH_KILLED:
                self._kill("batch", fault.lasts)
            case FaultKind.WORKER_ASLEEP:
                self._suspend(("interactive-1", "batch")[fault.which], fault.lasts)
            case FaultKind.WORKER_STOPPED:
                self._stop(("interactive-2", "batch")[fault.which], fault.lasts)
            case FaultKind.API_KILLED:
                self._kill("api", fault.lasts)
            case FaultKind.API_KILLED_BEFORE_RING:
                self._spring_trap()
            case FaultKind.BEAT_KILLED:
                self._kill(f"beat-{fault.which + 1}", fault.lasts)
            case FaultKind.BROKER_WIPED:
                self._kill("valkey", fault.lasts)
            case FaultKind.BROKER_CUT:
                field.broker.cut()
                time.sleep(fault.lasts)
                field.broker.mend()
            case FaultKind.BROKER_HUNG:
                self._suspend("valkey", fault.lasts)
            case FaultKind.BROKER_STRANDED:
                field.broker.strand()
            case FaultKind.DATABASE_CRASHED:
                self._restart_database(signal.SIGQUIT, fault.lasts)
            case FaultKind.DATABASE_RESTARTED:
                self._restart_database(signal.SIGINT, fault.lasts)
            case FaultKind.COMMITS_UNANSWERED:
                field.database.lose_commits(lose=True)
                time.sleep(fault.lasts)
                field.database.lose_commits(lose=False)
            case FaultKind.DISK_FULL:
                with filled(field.disk):
                    time.sleep(fault.lasts)

    def _kill(self, name: str, lasts: float) -> None:
        self._field.programs.kill(name)
        time.sleep(lasts)
        self._field.programs.start(name)

    def _stop(self, name: str, lasts: float) -> None:
        self._field.programs.stop(name)
        time.sleep(lasts)
        self._field.programs.start(name)

    def _suspend(self, name: str, lasts: float) -> None:
        process = self._field.programs.suspend(name)
        time.sleep(lasts)
        self._field.programs.resume(process)

    def _restart_database(self, sig: signal.Signals, lasts: float) -> None:
        self._field.postgres.kill(sig)
        time.sleep(lasts)
        self._field.postgres.start()

    def _spring_trap(self) -> None:
        self._field.trap.touch()
        deadline = time.monotonic() + TRAP_SECONDS
        while self._field.trap.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no job was submitted within {TRAP_SECONDS:g} s, so no API died ringing for one")
            time.sleep(0.01)
