import json
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.domains.blood import evaluate_uci
from backend.domains.blood.evaluate_uci import BadTable, evaluate, groups_of, main, read_table, report
from backend.domains.blood.training.candidates import Sample

HEAD = "Recency,Frequency,Monetary,Time,class\n"


def a_file(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def donors(count: int, *, seed: int = 0) -> Sample:
    """Donors like those of the data: the fewer months ago and the more often they gave, the likelier they give."""
    rng = np.random.default_rng(seed)
    recency, frequency = rng.integers(0, 24, count).astype(float), 1.0 + rng.poisson(4, count)
    time = recency + 3.0 * frequency
    x = np.column_stack((recency, frequency, 250.0 * frequency, time))
    return Sample(x, rng.random(count) < 1 / (1 + np.exp(0.15 * recency - 0.25 * frequency + 0.6)))


def test_a_table_is_read_as_columns_and_labels(tmp_path: Path) -> None:
    table = read_table(a_file(tmp_path, HEAD + "2,50,12500,98,1\n0,13,3250,28,0\n"))
    np.testing.assert_array_equal(table.x, [[2, 50, 12500, 98], [0, 13, 3250, 28]])
    assert table.y.tolist() == [True, False]


def test_openml_s_labels_one_and_two_mean_the_same(tmp_path: Path) -> None:
    assert read_table(a_file(tmp_path, HEAD + "2,50,12500,98,2\n0,13,3250,28,1\n")).y.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Recency,Frequency\n1,2\n", "no column Monetary, Time, class; expected Recency, Frequency"),
        (HEAD + "2,50,12500,98,1\n0,many,3250,28,0\n", "line 3: Frequency is not a number"),
        (HEAD + "2,50,12500,98,1\n0,13\n", "line 3: Monetary is not a number"),
        (HEAD + "2,50,nan,98,1\n", "line 2: Monetary is not a number"),
        (HEAD + "2,50,12500,98,1\n", "must hold both 0 and 1"),
        (HEAD + "2,50,12500,98,7\n0,13,3250,28,0\n", "must hold both 0 and 1"),
        ("", "no column Recency"),
    ],
)
def test_a_table_that_is_not_one_is_refused_with_the_place(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(BadTable, match=reason):
        read_table(a_file(tmp_path, text))


def test_a_file_that_is_missing_or_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="No such file"):
        read_table(tmp_path / "nothing.csv")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadTable, match="not text"):
        read_table(tmp_path / "binary")


def test_equal_rows_stay_in_one_fold_and_in_one_slice() -> None:
    table = donors(300)
    doubled = Sample(np.repeat(table.x, 2, axis=0), np.repeat(table.y, 2))
    group = groups_of(doubled.x)
    for learn, judge in evaluate_uci._folds(doubled, group, seed=0):
        assert not set(group[learn]) & set(group[judge])
    parts = evaluate_uci._slices(doubled, seed=0)
    assert sum(len(part.y) for part in parts) == len(doubled.y)
    rows = [{tuple(row) for row in part.x} for part in parts]
    assert len(rows[0] | rows[1] | rows[2]) == sum(map(len, rows))


def test_the_recipe_finds_what_is_there_and_nothing_where_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_uci, "REPEATS", 1)
    table = donors(700)
    found = evaluate(table)
    assert found["recipe of donor_availability"]["auc"] > 0.65
    assert found["recipe of donor_availability"]["log_loss"] < found["base rate"]["log_loss"]
    assert found["base rate"]["auc"] == 0.5
    chance = Sample(table.x, np.random.default_rng(1).permutation(table.y))
    assert abs(evaluate(chance)["recipe of donor_availability"]["auc"] - 0.5) < 0.08


def test_too_good_a_result_is_called_a_leak() -> None:
    scores = {"auc": 0.93, "brier": 0.1, "log_loss": 0.3, "auc_sd_of_folds": 0.01}
    assert "look for a leak" in report({"recipe": scores})
    assert "leak" not in report({"recipe": scores | {"auc": 0.75}})


def test_the_command_prints_the_scores_and_writes_them(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(evaluate_uci, "REPEATS", 1)
    monkeypatch.setattr(evaluate_uci, "PREDICTORS", {"base rate": evaluate_uci.base_rate})
    table = donors(200)
    lines = [",".join(f"{value:g}" for value in (*row, label)) for row, label in zip(table.x, table.y, strict=True)]
    path, out = a_file(tmp_path, HEAD + "\n".join(lines)), tmp_path / "scores.json"
    monkeypatch.setattr(sys, "argv", ["evaluate_uci", str(path), "--json", str(out)])
    assert main() == 0
    assert "200 donors" in capsys.readouterr().out
    assert json.loads(out.read_text())["scores"]["base rate"]["auc"] == 0.5


def test_the_command_says_what_is_wrong_and_ends_with_2(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate_uci", str(tmp_path / "nothing.csv")])
    assert main() == 2
    assert "No such file" in capsys.readouterr().err
