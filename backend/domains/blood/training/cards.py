"""The model card that lies beside the weights."""

from backend.domains.blood.training.dataset import CUTS, HELD_OUT_SHARE, PURGE_DAYS, Dataset
from backend.domains.blood.training.evaluation import Scores
from backend.domains.blood.training.tasks import Trained

USE = {
    "donor_availability": "To say how likely a donor is to accept if asked now, beside each match.",
    "donor_response_time": "To say how soon an answer may come, and how long to wait before asking more donors.",
    "donor_reliability": "To say how likely a donor who accepted is to arrive, so that enough donors are asked.",
    "donor_seeker_match": "To rank compatible, eligible donors for a request, and to say how many of them to ask.",
}

OUT_OF_SCOPE = {
    "donor_availability": "Judging a person; deciding who is a donor; asking people who did not consent.",
    "donor_response_time": "Promising a time to a patient or a ward.",
    "donor_reliability": "Excluding, publicly ranking or penalising a donor. Declining and deferrals never count here.",
    "donor_seeker_match": """Compatibility and eligibility, which are rules and come first; replacing the blood centre's
screening; blood that is needed at once, which only stock can give.""",
}

EVENT = {
    "donor_availability": "donors with such a score accept",
    "donor_seeker_match": "donors with such a score give in time",
}

TIED = """The product and the two logistic baselines are calibrated like the model. Product and model are tied: their
difference is within the noise of either slice. The model is served because it is one small model on raw columns, not
because it is better; training stops if the product is ahead on the validation slice by more than chance."""

REAL = {
    "donor_availability": """## The recipe on real donors

The same recipe on 748 real donors (UCI blood transfusion data; four columns; 10 folds x 3, equal rows in one fold): AUC
.739 +- .078, Brier .156, log-loss .483. Logistic regression on all rows: .747, .155, .479; the published ceiling is
.75-.76. `python -m backend.domains.blood.evaluate_uci FILE.csv` prints it. These weights never saw those donors."""
}

LIMITS = """- **Trained and tested on a simulated world.** No public log of donor requests and answers exists. The
  numbers say how well the method recovers the world it was given, not how well it will do among real people.
- Retrain on your own log before relying on a probability, and watch its calibration from the first week.
- The oracle knows each donor's latent traits and each request's luck, so no model can reach it.
- Donors whom nobody has asked yet are described by priors and their donations only.
- Whom the past policy asked shaped the data: mostly donors within 30 km, a tenth from up to 60 km."""


def card(trained: Trained, data: Dataset, *, seed: int) -> str:
    """Return the card as Markdown."""
    parts = [
        f"# {trained.name}, version 1",
        f"Output: {trained.output}. Weights: {trained.candidate.kind}.",
        "> **Simulated data.** What is not said to be real was measured in a simulated service (`docs/models.md`).",
        f"## Intended use\n\n{USE[trained.name]}",
        f"## Out of scope\n\n{OUT_OF_SCOPE[trained.name]}",
        _data_section(trained, data, seed),
        "## Choice on the validation slice (log-loss)\n\n"
        + _table([[k, f"{v:.4f}"] for k, v in trained.validation.items()]),
        "## Test slice, donors never seen before\n\n" + _scores(trained.test),
        *([TIED] if trained.name == "donor_seeker_match" else []),
        _calibration_section(trained),
        "## By urgency, blood group and sex\n\nGroups with fewer than 200 rows are left out."
        + (" Answer within 4 h." if trained.name == "donor_response_time" else "")
        + "\n\n"
        + _scores(trained.slices),
        *([REAL[trained.name]] if trained.name in REAL else []),
        f"## Limits\n\n{LIMITS}",
        "## Columns\n\n"
        + _table([["name", "unit", "meaning"], *([c.name, c.unit, c.description] for c in trained.columns)]),
    ]
    return "\n\n".join(parts) + "\n"


def _data_section(trained: Trained, data: Dataset, seed: int) -> str:
    rows = [["slice", "from", "until", "rows"]]
    rows += [[name, *data.slices[name].dates(), f"{trained.sizes[name]:,}"] for name in CUTS]
    return (
        f"## Data\n\nSimulated: {len(data.world.donors):,} donors, {len(data.world.requests):,} requests,"
        f" {len(data.world.contacts):,} asks, seed {seed}. Slices follow one another in time; the last"
        f" {PURGE_DAYS:g} days of each are dropped so that no label reaches into the next; {HELD_OUT_SHARE:.0%} of the"
        " donors appear in the test slice only, and it holds nobody else. Asks of cancelled requests are left out.\n\n"
        + _table(rows)
        + "\n\nThe manifest keeps where every column and the output lay on the train slice (`reference`); drift is"
        " measured from there."
    )


def _calibration_section(trained: Trained) -> str:
    line = trained.calibration
    text = (
        "## Calibration\n\nLogistic, on the calibration slice, applied by serving:"
        f" slope {line.slope:.3f}, intercept {line.intercept:+.3f}."
    )
    if not trained.interval:
        return text
    inside = trained.interval
    return text + (
        f" The interval says: the rate at which {EVENT[trained.name]} lies between low and high"
        f" ({inside['level']:.0%}). It comes from a bootstrap by request, widened by"
        f" {trained.parameters['period_sd']} logits (sd), by which the months of the calibration slice missed what a"
        f" model trained before them said. On the test slice, of 20 bins by score {inside['true_mean_inside']:.0%} have"
        f" their true mean probability inside and {inside['observed_rate_inside']:.0%} their observed rate, which"
        f" varies by itself; mean width {inside['mean_width']:.3f}. Beyond the score, requests differ by"
        f" {trained.parameters['request_sd']} logits (sd)."
        + (
            f" Of donors nobody has asked yet the score does not know {trained.parameters['donor_sd']} logits (sd)."
            if "donor_sd" in trained.parameters
            else ""
        )
    )


def _scores(scores: dict[str, Scores]) -> str:
    names = list(dict.fromkeys(name for row in scores.values() for name in row))
    body = [[who, *(_number(row.get(name)) for name in names)] for who, row in scores.items()]
    return _table([["", *(name.replace("_", " ") for name in names)], *body])


def _number(value: float | None) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.4f}"


def _table(rows: list[list[str]]) -> str:
    head, *body = rows if len(rows[0]) > 2 else [["candidate", "log-loss"], *rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
