"""The command that tells how well a table of demand could have been forecast."""

import errno
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.domains.blood import backtest as command
from backend.domains.blood.backtest import BAD_INPUT, main, report, table
from backend.domains.blood.forecasting.evaluation import Backtest, Scores

SCORES = ("mase", "wape", "pinball", "coverage_80", "coverage_95")
BASELINES = ("seasonal_naive", "weekday_mean_8w", "weekday_level_28d")
DAYS = 50


def write_demand(path: Path, *, silent: bool = False, without: int | None = None) -> Path:
    """Two series of `DAYS` days, the second perhaps silent, perhaps without the day at a position."""
    rng = np.random.default_rng(1)
    days = np.datetime64("2026-01-01", "D") + np.arange(DAYS)
    lines = ["day,group,units"]
    for group, mean in (("A+", 9.0), ("O+", 0.0 if silent else 20.0)):
        lines += [f"{day},{group},{rng.poisson(mean)}" for place, day in enumerate(days) if place != without]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def options(file: Path, *more: str) -> list[str]:
    columns = ("--date", "day", "--value", "units", "--by", "group")
    return [str(file), *columns, "--horizon", "5", "--origins", "3", "--threads", "1", *more]


@pytest.fixture
def demand(tmp_path: Path) -> Path:
    return write_demand(tmp_path / "demand.csv")


def test_the_table_has_a_line_for_the_model_and_each_baseline(demand: Path, capsys: pytest.CaptureFixture[str]):
    assert main(options(demand)) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert tuple(lines[0].split()) == SCORES
    assert [line[:20].strip() for line in lines[1:6]] == ["model", *BASELINES, "sum of all series"]
    for line in lines[1:5]:
        assert all(math.isfinite(float(score)) for score in line[20:].split())
        assert len(line[20:].split()) == len(SCORES)
    assert lines[5][20:].split()[0] == "-", "a total has no MASE"
    assert "2 series, 3 origins from 2026-02-05 to 2026-02-15, 5 days from each" in said.out
    assert "without MASE" not in said.out
    assert said.err == "", "a bar is for a terminal"


def test_the_json_has_the_documented_keys_and_the_numbers_of_the_table(
    demand: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out.json"
    assert main(options(demand, "--json", str(out))) == 0
    written = json.loads(out.read_text(encoding="utf-8"))
    assert tuple(written) == (
        "model",
        "baselines",
        "total",
        "series",
        "series_without_mase",
        "horizon",
        "origins",
        "seconds",
    )
    assert tuple(written["model"]) == SCORES
    assert tuple(written["baselines"]) == BASELINES
    assert all(tuple(scores) == SCORES for scores in written["baselines"].values())
    assert tuple(written["total"]) == ("wape", "coverage_80", "coverage_95")
    assert (written["series"], written["series_without_mase"], written["horizon"]) == (2, 0, 5)
    assert written["origins"] == ["2026-02-05", "2026-02-10", "2026-02-15"]
    assert written["seconds"] > 0.0
    shown = capsys.readouterr().out.splitlines()[1][20:].split()
    assert shown == [f"{written['model'][name]:.4f}" for name in SCORES]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demand.csv", "out.json"], "no draft is left"


def test_a_run_replaces_the_json_of_the_one_before(demand: Path, tmp_path: Path):
    out = tmp_path / "out.json"
    out.write_text("an older one, longer than any report " * 100, encoding="utf-8")
    assert main(options(demand, "--json", str(out))) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["series"] == 2


def test_series_that_cannot_be_scaled_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(options(write_demand(tmp_path / "demand.csv", silent=True))) == 0
    assert "1 series without MASE and pinball: their seasonal naive error is 0 in-sample" in capsys.readouterr().out


@pytest.fixture
def undefined() -> Backtest:
    nothing = Scores(*[math.nan] * 5)
    return Backtest(
        model=replace(nothing, coverage_80=0.81234567),
        baselines=dict.fromkeys(BASELINES, nothing),
        total=nothing,
        series=1,
        undefined=1,
        origins=np.array(["2026-01-01"], dtype="datetime64[D]"),
        horizon=5,
        seconds=1.23456,
    )


def test_an_undefined_score_is_null_and_a_dash(undefined: Backtest):
    written = json.loads(json.dumps(report(undefined), allow_nan=False))
    assert written["model"] == dict.fromkeys(SCORES) | {"coverage_80": 0.812346}
    assert written["total"] == {"wape": None, "coverage_80": None, "coverage_95": None}
    assert written["seconds"] == 1.23
    assert table(undefined).splitlines()[1].split() == ["model", "-", "-", "-", "0.8123", "-"]


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forecasting is an error: what is wrong has to be found before."""

    def work(*_arguments: object, **_options: object) -> None:
        raise AssertionError("the work was begun")

    monkeypatch.setattr(command, "backtest", work)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--horizon", "0"), "the horizon must be between 1 and 366 days, not 0"),
        (("--horizon", "5000"), "the horizon must be between 1 and 366 days, not 5,000"),
        (("--origins", "0"), "the number of origins must be between 1 and 100, not 0"),
        (("--origins", "99"), "99 origins with a horizon of 5 days need a history of 131 days, not 50"),
        (("--value", "none"), "has no column none; it has day, group, units"),
        (("--by", "group,group"), "must be different columns"),
        (("--value", "group"), "must be different columns"),
        (("--date", "group", "--by", "day"), "line 2: the date 'A+' is not written as YYYY-MM-DD"),
    ],
)
def test_wrong_input_is_one_line_on_stderr_and_nothing_is_written(
    demand: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
):
    assert main(options(demand, "--json", str(tmp_path / "out.json"), *more)) == BAD_INPUT == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("backtest: ")
    assert said.err.count("\n") == 1
    assert message in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["demand.csv"]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("none/out.json", "none, where --json would write, is not a directory"),
        ("folder", "folder, which --json would write, is a directory"),
    ],
)
def test_a_json_that_could_not_be_written_is_refused_before_the_work(
    demand: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, message: str
):
    (tmp_path / "folder").mkdir()
    assert main(options(demand, "--json", str(tmp_path / out))) == BAD_INPUT
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["demand.csv", "folder"]


def test_a_json_that_cannot_be_written_after_all_leaves_no_half_file(
    demand: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path, _target: Path) -> Path:
        assert path.exists(), "the draft is there, and only its last step fails"
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "out.json"
    out.write_text("of the run before", encoding="utf-8")
    monkeypatch.setattr(Path, "replace", full)
    assert main(options(demand, "--json", str(out))) == BAD_INPUT
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"backtest: {out} cannot be written: No space left on device\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demand.csv", "out.json"]
    assert out.read_text(encoding="utf-8") == "of the run before"


def test_gaps_are_refused_or_count_as_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write_demand(tmp_path / "demand.csv", without=20)
    assert main(options(file)) == BAD_INPUT
    assert "no series has a line between 2026-01-20 and 2026-01-22" in capsys.readouterr().err
    assert main(options(file, "--gaps", "zero")) == 0
    assert "2 missing values count as 0, the first A+ on 2026-01-21" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["--date", "--value", "--by"])
def test_columns_have_to_be_named(demand: Path, missing: str, capsys: pytest.CaptureFixture[str]):
    given = options(demand)
    place = given.index(missing)
    with pytest.raises(SystemExit) as ended:
        main(given[:place] + given[place + 2 :])
    assert ended.value.code == 2
    assert missing in capsys.readouterr().err
