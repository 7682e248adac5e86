"""`python -m backend.domains.blood.backtest FILE.csv …`: how well a long table of demand could have been forecast."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from backend.domains.blood.forecasting.evaluation import Backtest, Scores, backtest, require_in_range, test_origins
from backend.domains.blood.forecasting.reading import read_long_csv
from backend.errors import InputError

BAD_INPUT = 2  # exit code, as argparse uses it
METRICS = ("mase", "wape", "pinball", "coverage_80", "coverage_95")

Report = dict[str, object]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, or 2 with one line on stderr where the input is wrong."""
    options = _parser().parse_args(arguments)
    try:
        result = _run(options)
        if options.json:
            _write(options.json, report(result))
    except InputError as error:
        sys.stderr.write(f"backtest: {error}\n")
        return BAD_INPUT
    sys.stdout.write(table(result))
    return 0


def report(result: Backtest) -> Report:
    """Return the backtest as JSON: a score is null where it is undefined."""
    return {
        "model": _scores(result.model),
        "baselines": {name: _scores(scores) for name, scores in result.baselines.items()},
        "total": {name: score for name, score in _scores(result.total).items() if name not in {"mase", "pinball"}},
        "series": result.series,
        "series_without_mase": result.undefined,
        "horizon": result.horizon,
        "origins": [str(day) for day in result.origins],
        "seconds": round(result.seconds, 2),
    }


def table(result: Backtest) -> str:
    """Return the backtest as lines of text."""
    rows = {"model": result.model, **result.baselines, "sum of all series": result.total}
    lines = [f"{'':20}" + "".join(f"{name:>13}" for name in METRICS)]
    for name, scores in rows.items():
        lines.append(f"{name:20}" + "".join(_cell(score) for score in _scores(scores).values()))
    origins = f"{len(result.origins)} origins from {result.origins[0]} to {result.origins[-1]}"
    lines += ["", f"{result.series} series, {origins}, {result.horizon} days from each, {result.seconds:.1f} s"]
    if result.undefined:
        lines.append(f"{result.undefined} series without MASE and pinball: their seasonal naive error is 0 in-sample")
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="backtest", description=__doc__)
    parser.add_argument("file", type=Path, help="CSV with a header, one line for each series and day")
    parser.add_argument("--date", required=True, help="column of the day, YYYY-MM-DD")
    parser.add_argument("--value", required=True, help="column of the value, 0 or more")
    parser.add_argument("--by", required=True, help="columns that tell series apart, with commas between")
    parser.add_argument("--horizon", type=int, default=30, help="days ahead (%(default)s)")
    parser.add_argument("--origins", type=int, default=12, help="days to forecast from (%(default)s)")
    parser.add_argument("--gaps", choices=("refuse", "zero"), default="refuse", help="days without any line")
    parser.add_argument("--threads", type=int, default=2, choices=range(1, 65), metavar="1-64", help="(%(default)s)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the numbers here as well")
    return parser


def _run(options: argparse.Namespace) -> Backtest:
    if options.json and not options.json.parent.is_dir():
        raise InputError(f"{options.json.parent}, where --json would write, is not a directory")
    if options.json and options.json.is_dir():
        raise InputError(f"{options.json}, which --json would write, is a directory")
    require_in_range(horizon=options.horizon, origins=options.origins)  # before a large file is read
    panel, filled = read_long_csv(
        options.file,
        date=options.date,
        value=options.value,
        by=tuple(name.strip() for name in options.by.split(",")),
        gaps_are_zero=options.gaps == "zero",
    )
    if filled.values:
        sys.stderr.write(f"backtest: {filled.values:,} missing values count as 0, the first {filled.first}\n")
    test_origins(len(panel.days), horizon=options.horizon, origins=options.origins)
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    # Where nobody watches, the bar would be an empty line.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def show(fraction: float, note: str) -> None:
            bar.update(task, completed=fraction, description=note)

        return backtest(panel, horizon=options.horizon, origins=options.origins, threads=options.threads, progress=show)


def _write(path: Path, content: Report) -> None:
    """Write all of it or nothing."""
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def _scores(scores: Scores) -> dict[str, float | None]:
    return {name: None if isnan(score) else round(score, 6) for name, score in asdict(scores).items()}


def _cell(score: float | None) -> str:
    return f"{'-':>13}" if score is None else f"{score:>13.4f}"


if __name__ == "__main__":
    sys.exit(main())
