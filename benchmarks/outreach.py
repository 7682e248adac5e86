"""What the planner of outreach brings, beside simpler ways: a month of requests to a simulated blood service."""

from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np

from backend.domains.blood.outreach.exposure import gini
from backend.domains.blood.outreach.plans import TARGET
from backend.domains.blood.outreach_scoring import MODELS, shared_sd
from backend.domains.blood.records import Contacts, Outcome
from backend.domains.blood.simulate.world import Life, joined, live
from backend.domains.blood.train import END
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.settings import load_settings
from benchmarks.outreach_month import DAYS, Month, Policy
from benchmarks.outreach_policies import Everyone, Planner, Some
from benchmarks.report import Table

DONORS = 8_000
SEEDS = (21, 22, 23)

NOTES = (
    (
        f"Simulated donors: {DONORS:,} in Kerala with two years of history, then {DAYS} days of requests; the median "
        f"of {len(SEEDS)} worlds, and their range. All ways get the same people, requests, traits and luck: a donor "
        "draws the same numbers for the same request whoever asks. The models were trained on another world."
    ),
    (
        "All ways keep eligibility, consent and quiet hours (nobody between 22 and 7 h unless the request is "
        "critical), and leave out donors promised to another request. Cool-down (one alert that is not critical in 7 "
        "days, three in 30) holds for all but the way that says so. No way knows the donors' hidden traits."
    ),
    (
        "Everyone: all eligible within 15, 25, 35 or 50 km by urgency, at once. Nearest, random: within the same "
        "radius as many as give 95 % if each donated at the rate of the past two years, at once."
    ),
    (
        "A request closes when enough have donated; who had accepted by then still comes. Donations not needed: beyond "
        "the need, or too late. Hours: from the request to the last unit needed, median of the requests filled. Gini: "
        "of the alerts of the donors eligible at the start of the month. Cancelled requests count in alerts only."
    ),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one way did in one month."""

    filled: float  # share of requests
    hours: float
    alerts: float
    per_donation: float
    unneeded: float
    gini: float


def measure_outreach() -> list[Table]:
    """Play the month of each seed with each way."""
    models = ModelClient(Catalogue(load_settings().models_dir), threads=1)
    models.preload(MODELS)
    figures: dict[str, list[Figures]] = {}
    first_looks: list[tuple[float, bool]] = []
    for seed in SEEDS:
        before = live(donors=DONORS, seed=seed, end=END)
        for name, policy in _policies(before, models, seed=seed).items():
            month = Month(before, seed=seed)
            month.play(policy)
            figures.setdefault(name, []).append(found := figures_of(month))
            print(f"  seed {seed}, {name}: {found.filled:.1%} filled, {found.alerts:,.0f} alerts", flush=True)
            if isinstance(policy, Planner):
                first_looks += _first_looks(month, policy)
    return [_comparison(figures), _reach(first_looks)]


def figures_of(month: Month) -> Figures:
    """Return what came of a month; cancelled requests count in the alerts only."""
    requests, alerts = month.requests, month.alerts()
    kept = np.isnan(requests.cancelled_at)
    in_time = np.array(
        [sum(at <= end for at in gave) for gave, end in zip(month.gave_at, requests.needed_by, strict=True)]
    )
    donations = np.array([len(gave) for gave in month.gave_at])
    filled = kept & (in_time >= requests.units)
    last = [month.gave_at[row][requests.units[row] - 1] - requests.created_at[row] for row in np.flatnonzero(filled)]
    return Figures(
        filled=filled.sum() / kept.sum(),
        hours=float(np.median(last)) / 3600.0,
        alerts=float(alerts.sum()),
        per_donation=alerts.sum() / donations.sum(),
        unneeded=float((donations - np.minimum(in_time, requests.units))[kept].sum()),
        gini=gini(month.asked()),
    )


def base_rate(before: Life) -> float:
    """Return the share of the past alerts that led to a donation on record."""
    return float((joined(Contacts, before.contacts).outcome == Outcome.DONATED).mean())


def _policies(before: Life, models: ModelClient, *, seed: int) -> dict[str, Policy]:
    sd = shared_sd(models)
    rate = base_rate(before)
    return {
        "planner": Planner(models),
        "nearest eligible": Some(base_rate=rate, request_sd=sd, seed=None),
        "random eligible": Some(base_rate=rate, request_sd=sd, seed=seed),
        "everyone in radius": Everyone(cool_down=True),
        "everyone in radius, no cool-down": Everyone(cool_down=False),
    }


def _comparison(figures: dict[str, list[Figures]]) -> Table:
    styles: tuple[Callable[[float], str], ...] = (
        lambda x: f"{x:.1%}",
        lambda x: f"{x:.1f}",
        lambda x: f"{x:,.0f}",
        lambda x: f"{x:.1f}",
        lambda x: f"{x:,.0f}",
        lambda x: f"{x:.2f}",
    )
    rows = []
    for name, found in figures.items():
        columns = zip(*(astuple(one) for one in found), strict=True)
        rows.append((name, *(_spread(column, style) for column, style in zip(columns, styles, strict=True))))
    planner, everyone = figures["planner"], figures["everyone in radius, no cool-down"]
    ahead = min(a.filled - b.filled for a, b in zip(planner, everyone, strict=True))
    share = max(a.alerts / b.alerts for a, b in zip(planner, everyone, strict=True))
    goal = (
        "Goal: at least the requests that everyone in radius without cool-down fills, with at most half its alerts. "
        f"In the world worst for the planner it fills {100 * ahead:+.1f} points; it needs at most {share:.0%} of the "
        "alerts."
    )
    return Table(
        title="Outreach: whom to ask for a request, simulated donors",
        columns=(
            "way",
            "filled in time",
            "hours to enough",
            "alerts",
            "alerts per donation",
            "donations not needed",
            "Gini",
        ),
        rows=rows,
        notes=(*NOTES, goal),
    )


def _spread(values: tuple[float, ...], style: Callable[[float], str]) -> str:
    return f"{style(float(np.median(values)))} ({style(min(values))} to {style(max(values))})"


def _first_looks(month: Month, planner: Planner) -> list[tuple[float, bool]]:
    """Return for each request what the planner said could be reached at its first look, and whether it was filled."""
    kept = np.flatnonzero(np.isnan(month.requests.cancelled_at)).tolist()
    return [(planner.first_reachable[row], bool(month.closed[row])) for row in kept if row in planner.first_reachable]


def _reach(looks: list[tuple[float, bool]]) -> Table:
    reachable, filled = np.array([said for said, _ in looks]), np.array([done for _, done in looks])
    cuts = ((0.0, 0.5), (0.5, 0.8), (0.8, TARGET), (TARGET, np.inf))
    rows = []
    for low, high in cuts:
        inside = (low <= reachable) & (reachable < high)
        if inside.any():
            name = f"{low:.0%} to {high:.0%}" if high < 1.0 else f"{low:.0%} and more"
            numbers = f"{inside.sum():,}", f"{reachable[inside].mean():.1%}", f"{filled[inside].mean():.1%}"
            rows.append((name, *numbers))
    return Table(
        title="Outreach: what the planner says can be reached, and what was",
        columns=("reachable at the first look", "requests", "said, mean", "filled in time"),
        rows=rows,
        notes=("All worlds together. Below 95 % the planner says that the request needs another source at once.",),
    )
