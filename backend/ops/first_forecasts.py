"""The demand forecasts a new installation starts with: asked for when there are none, shown once they are made."""

import http
import json
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from backend.errors import Unavailable
from backend.ops.sample import OPEN_STATES, request

SCHEDULE = "weekly_forecasts"
DAYS_SHOWN = 7
TELL_EVERY = 0.25  # of the work


@dataclass(slots=True)
class FirstForecasts:
    """A client of the API that is asked to look again and again, until `done`."""

    api: str
    console: Console
    key: str = ""
    done: bool = False
    _job: str | None = None
    _told: float = 0.0

    def look(self) -> None:
        """Take one step: find the job of the latest forecasts or start one, say how far it is, show what it found.

        A job or an answer that is none ends it with a line that says so: the stack serves without forecasts.
        """
        if self.done:
            return
        try:
            if self._job is None:
                self._job = self._find_or_start()
            self._follow(self._read(f"{self.api}/api/ml/jobs/{self._job}"))
        except (OSError, http.client.HTTPException, Unavailable) as error:
            self._end(f"no forecasts of demand: {error}")

    def _find_or_start(self) -> str:
        url = f"{self.api}/api/ml/forecasts?district=all&blood_group=all"
        status, _, body = request("GET", url, key=self.key)
        if status == http.HTTPStatus.OK:
            return str(json.loads(body)["job_id"])
        if status != http.HTTPStatus.NOT_FOUND:
            raise Unavailable(f"GET {url} answered {status} {body}")
        self.console.out("forecasting demand, for the first time, on the batch worker …")
        run = f"{self.api}/api/ml/schedules/{SCHEDULE}"
        status, _, body = request("POST", f"{run}/run", key=self.key)
        if status not in {http.HTTPStatus.ACCEPTED, http.HTTPStatus.CONFLICT}:  # conflict: it is running already
            raise Unavailable(f"POST {run}/run answered {status} {body}")
        return str(self._read(run)["last_job"]["id"])

    def _follow(self, job: dict[str, Any]) -> None:
        if job["state"] == "succeeded":
            result = job["result"]
            self.console.out(_heading(result))
            self.console.print(tabulate_forecast(result))
            self._end(_trust(result))
        elif job["state"] not in OPEN_STATES:
            self._end(f"no forecasts of demand: the job is {job['state']}")
        elif job["progress"] >= self._told + TELL_EVERY:
            self._told = job["progress"]
            self.console.out(f"forecasting demand: {self._told:.0%} …")

    def _read(self, url: str) -> dict[str, Any]:
        status, _, body = request("GET", url, key=self.key)
        if status != http.HTTPStatus.OK:
            raise Unavailable(f"GET {url} answered {status} {body}")
        return dict(json.loads(body))

    def _end(self, line: str) -> None:
        self.console.out(line)
        self.done = True


def _heading(result: dict[str, Any]) -> str:
    return f"red-cell units expected in all districts ({result['source']}, {result['history_days']:,} days known)"


def tabulate_forecast(result: dict[str, Any]) -> Table:
    """Lay out the next days of a forecast's state total."""
    table = Table(box=box.SIMPLE, padding=(0, 0, 0, 1))
    for heading in ("day", "units", "80 %", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for day in result["state"][:DAYS_SHOWN]:
        table.add_row(
            day["day"],
            f"{day['units']:.1f}",
            f"{day['low_80']:.0f}-{day['high_80']:.0f}",
            f"{day['low_95']:.0f}-{day['high_95']:.0f}",
        )
    return table


def _trust(result: dict[str, Any]) -> str:
    """Return how the method did on days it had not seen, beside what it has to beat."""
    backtest = result["backtest"]
    if backtest is None:
        return f"not judged yet: {result['no_backtest']}"
    scores = {"model": backtest["model"], **backtest["baselines"]}
    errors = ", ".join(f"{name} {one['mase']:.2f}" for name, one in scores.items() if one["mase"] is not None)
    return f"scaled error (MASE) from {len(backtest['origins'])} earlier days: {errors}"
