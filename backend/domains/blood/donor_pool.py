"""Every donor and their history in memory, one copy per process, kept up with the database.

Before each use the pool asks the database when its three tables last changed (three looks into indexes). Small pools
catch up before they answer, so that a donor registered a moment ago is seen; large ones answer from what they have and
catch up in the background, except for a plan, which waits.
"""

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from backend.domains.blood.donor_index import DonorIndex, RecentAsks
from backend.domains.blood.history import History
from backend.domains.blood.policies import INDIA, Policy
from backend.domains.blood.queries import CONTACTS, DONATIONS, DONORS, TableReader
from backend.domains.blood.records import Component, Contacts, Donations, Donors, Floats
from backend.errors import NotServed, Unavailable
from backend.extensions import in_background, transaction

log = structlog.get_logger()

OVERLAP = timedelta(seconds=60)  # a transaction may commit rows up to this much older than what was read before it
CATCH_UP_INLINE = 0.25  # seconds a match waits for the pool to catch up
MONTH = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The donors as the database had them at one moment; never changed, shared by all threads."""

    donors: Donors
    history: History
    index: DonorIndex
    asked_at: Floats  # asks for requests that were not critical, by time
    asked: NDArray[np.int32]  # the rows of the donors asked

    def recent_asks(self, as_of: float) -> RecentAsks:
        """Return how each donor was asked lately, as of a moment."""
        start, stop = np.searchsorted(self.asked_at, [as_of - MONTH, as_of])
        rows = self.asked[start:stop]
        last_at = np.full(len(self.donors), np.nan)
        last_at[rows] = self.asked_at[start:stop]  # in order of time: the last one stays
        return RecentAsks(last_at=last_at, in_30_days=np.bincount(rows, minlength=len(self.donors)))


class _Copy:
    """One table as it was last read."""

    def __init__(self, reader: TableReader) -> None:
        self._reader = reader
        self._latest: datetime | None = None
        self.rows: NDArray[np.void] = np.empty(0, dtype=reader.dtype)

    def changed(self, session: Session) -> bool:
        """Return whether the table changed since it was read."""
        return self._reader.latest(session) != self._latest

    def catch_up(self, session: Session) -> None:
        """Read what changed; the rows stay ordered by id, a changed row takes the place of the earlier one."""
        latest = self._reader.latest(session)
        since = None if self._latest is None else self._latest - OVERLAP
        changed = self._reader.read(session, since=since)
        kept = self.rows[~np.isin(self.rows["id"], changed["id"])] if since is not None else self.rows[:0]
        rows = np.concatenate([kept, changed])
        self.rows = rows[np.argsort(rows["id"], kind="stable")]
        self._latest = latest


class DonorPool:
    """The current snapshot, and how it catches up."""

    def __init__(self, *, policy: Policy = INDIA) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._copies = (_Copy(DONORS), _Copy(DONATIONS), _Copy(CONTACTS))
        self._snapshot: Snapshot | None = None
        self._seconds = 0.0  # the last catching up took

    @property
    def policy(self) -> Policy:
        """The eligibility policy in force."""
        return self._policy

    def snapshot(self, *, caught_up: bool = False) -> Snapshot:
        """Return the donors, caught up if that is asked for or does not take long.

        Raises:
            NotServed: the database has no donors.
            Unavailable: the database does not answer.
        """
        snapshot = self._snapshot
        if snapshot is None or caught_up or self._seconds <= CATCH_UP_INLINE:
            with self._lock:
                snapshot = self._catch_up()
        elif not self._lock.locked():
            in_background(self._catch_up_behind, name="donor-pool")
        if len(snapshot.donors) == 0:
            raise NotServed("there are no donors yet: import some, or run `flask seed` for simulated ones")
        return snapshot

    def _catch_up_behind(self) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._catch_up()
        except Unavailable as error:
            log.warning("donor_pool_behind", reason=error)
        finally:
            self._lock.release()

    def _catch_up(self) -> Snapshot:
        started = time.perf_counter()
        with transaction(read_only=True) as session:
            if self._snapshot is not None and not any(copy.changed(session) for copy in self._copies):
                return self._snapshot
            for copy in self._copies:
                copy.catch_up(session)
        if self._snapshot is None:
            started = time.perf_counter()  # everything was read; later only what changed is
        self._snapshot = snapshot = make_snapshot(*(copy.rows for copy in self._copies), policy=self._policy)
        self._seconds = time.perf_counter() - started
        log.info("donor_pool_caught_up", donors=len(snapshot.donors), seconds=round(self._seconds, 3))
        return snapshot


def make_snapshot(
    donor_rows: NDArray[np.void], donation_rows: NDArray[np.void], contact_rows: NDArray[np.void], *, policy: Policy
) -> Snapshot:
    """Build everything a match needs from the tables' rows; events of donors that are gone are left out."""
    donation_rows = of_known_donors(donation_rows, donor_rows["id"])
    contact_rows = of_known_donors(contact_rows, donor_rows["id"])
    donors, donations, contacts = records_of(donor_rows, donation_rows, contact_rows)
    counted = np.flatnonzero(~contact_rows["critical"])
    by_time = counted[np.argsort(contacts.asked_at[counted], kind="stable")]
    return Snapshot(
        donors=donors,
        history=History.build(donors=donors, donations=donations, contacts=contacts),
        index=DonorIndex.build(donors, last_whole_blood(donations, len(donors)), policy=policy),
        asked_at=contacts.asked_at[by_time],
        asked=contacts.donor[by_time],
    )


def records_of(
    donor_rows: NDArray[np.void], donation_rows: NDArray[np.void], contact_rows: NDArray[np.void]
) -> tuple[Donors, Donations, Contacts]:
    """Return the tables' rows as records; donors come ordered by id, and events only of donors that are there."""
    donors = Donors(**_columns(donor_rows))
    donations = Donations(**_columns(donation_rows, donor=_rows_of(donation_rows["donor"], donors), without=("id",)))
    contacts = Contacts(
        **_columns(contact_rows, donor=_rows_of(contact_rows["donor"], donors), without=("id", "critical"))
    )
    return donors, donations, contacts


def last_whole_blood(donations: Donations, donors: int) -> Floats:
    """Return when each donor last gave whole blood (n,), from which red cells and plasma are made; NaN for never."""
    last = np.full(donors, -np.inf)
    whole = donations.component != Component.PLATELETS
    np.maximum.at(last, donations.donor[whole], donations.at[whole])
    return np.where(np.isinf(last), np.nan, last)


def _columns(rows: NDArray[np.void], *, without: tuple[str, ...] = (), **replaced: NDArray[np.int32]) -> dict[str, Any]:
    names = [name for name in (rows.dtype.names or ()) if name not in without]
    return {name: replaced[name] if name in replaced else np.ascontiguousarray(rows[name]) for name in names}


def of_known_donors(rows: NDArray[np.void], donor_ids: NDArray[np.int64]) -> NDArray[np.void]:
    """Return the events of donors that are there; one may be gone between two reads."""
    return rows[np.isin(rows["donor"], donor_ids)]


def _rows_of(donor_ids: NDArray[np.int64], donors: Donors) -> NDArray[np.int32]:
    return np.searchsorted(donors.id, donor_ids).astype(np.int32)
