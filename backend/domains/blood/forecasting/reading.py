"""A long table in a CSV file, checked line by line, as a panel."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from backend.domains.blood.forecasting.panel import ONE_DAY, Days, Key, Panel
from backend.domains.blood.records import Flags, Floats, Ints
from backend.errors import InputError

DAYS_MOST = 40_000  # about 110 years: a longer span is a mistyped year
HEADER_LINES = 1


@dataclass(frozen=True, slots=True)
class Filled:
    """What was missing and counts as 0."""

    values: int  # days on which a series that had begun is silent while others are not, or gaps that were asked for
    first: str  # the first of them, as series and date; empty without any


def read_long_csv(
    path: Path, *, date: str, value: str, by: tuple[str, ...], gaps_are_zero: bool = False
) -> tuple[Panel, Filled]:
    """Read columns `date` (YYYY-MM-DD), `value` (>= 0) and `by` of a CSV with a header, one line a series and day.

    A day missing in one series while others have it counts as 0; a day missing in all is refused unless
    `gaps_are_zero`; before its first line a series is not observed.

    Raises:
        InputError: the file cannot be read, or a line is wrong; the message names file, line, series and date.
    """
    if len({date, value, *by}) != 2 + len(by) or not by:
        raise InputError("the date, the value and each column of the key must be different columns")
    table = _table(path, (date, value, *by))
    days = _days(path, table[date])
    values = _values(path, table[value])
    for name in by:
        _refuse_first(path, (table[name] == "").to_numpy(), f"{name} is empty")
    code, unique = pd.factorize(pd.MultiIndex.from_frame(table[list(by)]), sort=True)
    series = tuple(tuple(map(str, key)) for key in unique)
    first = days.min()
    span = _span(path, days)
    offset = ((days - first) / ONE_DAY).astype(np.int64)
    _refuse_duplicates(path, code * span + offset, series, code, days)
    if not gaps_are_zero:
        _refuse_gaps(path, offset, first)
    cells = np.full((len(series), span), np.nan)
    cells[code, offset] = values
    filled = _fill(cells, series, first)
    return Panel.of(days=first + np.arange(span), names=by, keys=series, values=cells), filled


def _fill(cells: Floats, series: tuple[Key, ...], first: np.datetime64) -> Filled:
    """Set what is missing after a series' first value to 0, in place."""
    begun = np.cumsum(~np.isnan(cells), axis=1) > 0
    silent = begun & np.isnan(cells)
    cells[silent] = 0.0
    if not silent.any():
        return Filled(0, "")
    row, day = np.argwhere(silent)[0]
    return Filled(int(silent.sum()), f"{' / '.join(series[row])} on {first + day}")


def _span(path: Path, days: Days) -> int:
    first, last = days.min(), days.max()
    span = int((last - first) / ONE_DAY) + 1
    if span > DAYS_MOST:
        far = int(np.argmax(np.abs(days - np.sort(days)[len(days) // 2])))
        raise InputError(f"{path} spans {span:,} days; is the year of {days[far]} in line {_line(far)} mistyped?")
    return span


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # lines longer than the header
            table = pd.read_csv(
                path, dtype=str, index_col=False, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig"
            )
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8") from error
    except pd.errors.ParserWarning as error:  # the first line decides how many fields a line may have
        raise InputError(f"{path}, line {_line(0)}: more fields than the header names") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path} is not a CSV table: {' '.join(str(error).split())}") from error
    for column in columns:
        if column not in table.columns:
            raise InputError(f"{path} has no column {column}; it has {', '.join(map(str, table.columns))}")
    table = pd.DataFrame({column: table[column].fillna("").str.strip() for column in columns})
    # Blank lines at the end are how many programs finish a file.
    empty = (table == "").all(axis=1).to_numpy()
    table = table.iloc[: len(table) - int(np.argmin(empty[::-1]))] if not empty.all() else table.iloc[:0]
    if table.empty:
        raise InputError(f"{path} has a header and no lines")
    return table


def _days(path: Path, column: "pd.Series[str]") -> Days:
    parsed = pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True)
    _refuse_first(path, parsed.isna().to_numpy(), "the date {} is not written as YYYY-MM-DD", column)
    _refuse_first(path, (parsed != parsed.dt.normalize()).to_numpy(), "{} is not a whole day", column)
    return parsed.dt.tz_localize(None).to_numpy().astype("datetime64[D]")


def _values(path: Path, column: "pd.Series[str]") -> Floats:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    _refuse_first(path, (column == "").to_numpy(), "the value is empty; write 0 for a day without demand")
    _refuse_first(path, ~np.isfinite(values), "the value {} is not a number", column)
    _refuse_first(path, values < 0.0, "the value {} is negative", column)
    return values


def _refuse_first(path: Path, wrong: Flags, why: str, column: "pd.Series[str] | None" = None) -> None:
    if wrong.any():
        place = int(np.argmax(wrong))
        shown = "" if column is None else repr(column.iloc[place][:40])
        raise InputError(f"{path}, line {_line(place)}: {why.format(shown)}")


def _refuse_duplicates(path: Path, cell: Ints, series: tuple[Key, ...], code: Ints, days: Days) -> None:
    repeated = pd.Series(cell).duplicated().to_numpy()
    if repeated.any():
        place = int(np.argmax(repeated))
        before = int(np.argmax(cell == cell[place]))
        raise InputError(
            f"{path}, line {_line(place)}: {' / '.join(series[code[place]])} on {days[place]} is already in line "
            f"{_line(before)}; keep one line for each series and day"
        )


def _refuse_gaps(path: Path, offset: Ints, first: np.datetime64) -> None:
    known = np.unique(offset)
    gap = np.flatnonzero(np.diff(known) > 1)
    if gap.size:
        before, after = known[gap[0]], known[gap[0] + 1]
        line = _line(int(np.argmax(offset == after)))
        raise InputError(
            f"{path}, line {line}: no series has a line between {first + before} and {first + after}; "
            "add the missing days, or pass --gaps zero if nothing happened on them"
        )


def _line(place: int) -> int:
    return place + 1 + HEADER_LINES
