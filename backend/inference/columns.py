"""From what a caller has to what a runtime takes: float64 rows in the manifest's column order."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from backend.errors import ColumnsMismatch
from backend.inference.interfaces import Floats
from backend.inference.manifest import Column

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = "pd.DataFrame | npt.NDArray[Any]"

NUMERIC_KINDS = "biuf"
# Whole numbers beyond these are not exact in the type, or in the float64 that carries it.
LARGEST_WHOLE = {"int64": 2.0**53, "int32": 2.0**31 - 1}


class ColumnOrder:
    """The columns of one model, prepared for checking every call."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._names = [column.name for column in columns]
        self._whole = [(i, LARGEST_WHOLE[c.dtype]) for i, c in enumerate(columns) if c.dtype in LARGEST_WHOLE]
        self._single = [i for i, column in enumerate(columns) if column.dtype == "float32"]

    def rows(self, data: Rows) -> Floats:
        """Return `data` as C-ordered float64 of shape (n, k); the caller's data is never changed.

        A data frame is taken by column name in any order; an array must have its columns in the model's order.

        Raises:
            ColumnsMismatch: names, number of columns or values do not fit; the message names columns, never values.
        """
        rows = self._from_array(data) if isinstance(data, np.ndarray) else self._from_frame(data)
        for index, largest in self._whole:
            values = rows[:, index]
            if not ((values == np.trunc(values)) & (np.abs(values) <= largest)).all():
                raise ColumnsMismatch(
                    f"column {self._names[index]!r} holds whole numbers; some are missing, fractional or too large"
                )
        if self._single:
            rows = rows.copy()
            rows[:, self._single] = rows[:, self._single].astype(np.float32)
        return rows

    def _from_array(self, data: npt.NDArray[Any]) -> Floats:
        if data.ndim != 2 or data.shape[1] != len(self._names):
            raise ColumnsMismatch(f"an array of shape {data.shape} was given; the model takes (n, {len(self._names)})")
        if data.dtype.kind not in NUMERIC_KINDS:
            raise ColumnsMismatch(f"an array of {data.dtype} was given; the model takes numbers")
        return np.ascontiguousarray(data, dtype=np.float64)

    def _from_frame(self, frame: "pd.DataFrame") -> Floats:
        import pandas as pd  # noqa: PLC0415 - half a second that processes without frames need not spend

        if not isinstance(frame, pd.DataFrame):
            raise ColumnsMismatch(f"rows must be a pandas DataFrame or a 2-D numpy array, not {type(frame).__name__}")
        names = list(frame.columns)
        if names != self._names:
            self._check_names(names)
            frame = frame[self._names]
        for name, dtype in frame.dtypes.items():
            if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
                raise ColumnsMismatch(f"column {name!r} has dtype {dtype}; the model takes numbers")
        return np.ascontiguousarray(frame.to_numpy(dtype=np.float64, na_value=np.nan))

    def _check_names(self, names: list[Any]) -> None:
        problems = {
            "missing": [name for name in self._names if name not in names],
            "not known to the model": [name for name in names if name not in self._names],
            "given more than once": [name for name in self._names if names.count(name) > 1],
        }
        found = [f"{problem}: {', '.join(map(str, which))}" for problem, which in problems.items() if which]
        if found:
            raise ColumnsMismatch(f"columns {'; '.join(found)}")
