"""The report: what was asked, what came of it, what must not be, and how long each fault was felt."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from uuid import UUID

from backend.jobs.states import JobState
from tests.chaos.checks import MUST_BE_NONE, POISON, Run
from tests.chaos.evidence import started
from tests.chaos.faults import Happened
from tests.chaos.plan import FaultKind

SHOWN = 20  # jobs named for each broken promise


@dataclass(slots=True)
class Report:
    """What a run found; `broken` names the promises that did not hold, with the jobs."""

    counts: dict[str, int]
    must_be_none: dict[str, int]
    recovery: dict[FaultKind, list[float]]  # seconds from the end of each fault
    broken: dict[str, list[str]] = field(default_factory=dict)

    def markdown(self) -> str:
        lines = ["| what | count |", "| --- | ---: |"]
        lines += [f"| {name} | {count:,} |" for name, count in self.counts.items()]
        lines += ["", "| must be none | count |", "| --- | ---: |"]
        lines += [f"| {name} | {f'**{count:,}**' if count else 0} |" for name, count in self.must_be_none.items()]
        lines += ["", "| fault | times | recovery, median s | longest s |", "| --- | ---: | ---: | ---: |"]
        for kind, seconds in sorted(self.recovery.items()):
            lines.append(f"| {kind} | {len(seconds)} | {median(seconds):.1f} | {max(seconds):.1f} |")
        for name, jobs in self.broken.items():
            lines += ["", f"**{name}**:", *(f"- {job}" for job in jobs)]
        return "\n".join(lines)


def make_report(
    run: Run, happened: Sequence[Happened], *, statuses: dict[int, int], surprises: Sequence[str], brought_back: int
) -> Report:
    """Compare what clients were told with what was stored."""
    report = Report(_count(run, happened, statuses, brought_back), {}, _recovery(run, happened))
    for name, check in MUST_BE_NONE.items():
        found = check(run)
        _enter(report, name, [_describe(run, job_id) for job_id in sorted(found)])
    _enter(report, "answers that no client should get", list(surprises))
    surplus = run.evidence.scheduled_jobs - started(run.evidence)
    _enter(report, "jobs of the clock beyond one for each fire time", [f"{surplus} more jobs"] if surplus else [])
    unanswered = [one.order.key for one in run.submissions if not one.job_ids]
    _enter(report, "orders that were never acknowledged", unanswered)
    return report


def _enter(report: Report, name: str, found: list[str]) -> None:
    report.must_be_none[name] = len(found)
    if found:
        more = [f"and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
        report.broken[name] = found[:SHOWN] + more


def _count(run: Run, happened: Sequence[Happened], statuses: dict[int, int], brought_back: int) -> dict[str, int]:
    posts = sum(one.posts for one in run.submissions)
    states = {state: len(run.jobs(state)) for state in JobState}
    jobs = run.evidence.jobs.values()
    outcomes = Counter(outcome for attempts in run.evidence.attempts.values() for outcome in attempts)
    return {
        "jobs acknowledged": len(run.acknowledged),
        **{state.value: states[state] for state in (JobState.SUCCEEDED, JobState.CANCELLED, JobState.DEAD)},
        "of these poison": sum(job.kind in POISON for job in jobs),
        JobState.EXPIRED.value: states[JobState.EXPIRED],
        "attempts": sum(outcomes.values()),
        "attempts lost with their worker": outcomes["lost"],
        "POSTs repeated": posts - len(run.submissions),
        "POSTs without an answer": statuses.get(0, 0),
        **{f"POSTs answered {status}": count for status, count in sorted(statuses.items()) if status >= 400},
        **_durations(run),
        "fire times of the clock": sum(run.evidence.firings.values()),
        "faults": len(happened),
        "programs that ended by themselves and were brought back": brought_back,
    }


def _durations(run: Run) -> dict[str, int]:
    """Return how long the short jobs took that succeeded, from their row to its end, in milliseconds."""
    ended = [job for job in run.jobs(JobState.SUCCEEDED) if job.kind == "chaos.effect"]
    taken = sorted((job.finished_at - job.created_at).total_seconds() * 1000 for job in ended if job.finished_at)
    if not taken:
        return {}
    return {
        "median ms from submission to end of a short job": round(median(taken)),
        "99th percentile of these": round(taken[int(len(taken) * 0.99)]),
    }


def _recovery(run: Run, happened: Sequence[Happened]) -> dict[FaultKind, list[float]]:
    """Return the seconds from the end of each fault until nothing that was acknowledged before was unfinished.

    Later faults may fall into that time; they are counted in.
    """
    times = [
        (one.acknowledged_at, job.finished_at)
        for job_id, one in run.acknowledged.items()
        if (job := run.evidence.jobs.get(job_id)) is not None and one.acknowledged_at and job.finished_at
    ]
    recovery: dict[FaultKind, list[float]] = defaultdict(list)
    for fault in happened:
        last = max((end for acknowledged, end in times if acknowledged <= fault.ended), default=fault.ended)
        recovery[fault.kind].append(max(0.0, (last - fault.ended).total_seconds()))
    return recovery


def _describe(run: Run, job_id: UUID) -> str:
    job = run.evidence.jobs.get(job_id)
    key = run.acknowledged[job_id].order.key if job_id in run.acknowledged else "no key"
    if job is None:
        return f"{job_id} ({key}): not there"
    attempts = ", ".join(run.evidence.attempts[job_id]) or "none"
    effects = run.evidence.effects.get(job_id, [])
    return (
        f"{job_id} ({key}): {job.kind} {job.state}, attempts {attempts} of {job.max_attempts}, effects by {effects}, "
        f"created {job.created_at:%H:%M:%S.%f}"
    )
