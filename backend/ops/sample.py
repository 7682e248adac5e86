"""A first client of the API: wait until it is ready, run one match job, tabulate the donors and the schedules."""

import http.client
import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from rich import box
from rich.table import Table

from backend.errors import Unavailable

READY_SECONDS = 90.0
JOB_SECONDS = 60.0
SAMPLE = {
    "request": {"blood_group": "B+", "latitude": 10.0, "longitude": 76.3, "urgency": 3, "units_required": 2},
    "top_k": 10,
}
OPEN_STATES = {"queued", "running"}


def wait_until_ready(api: str, flower: str, *, since: datetime, check: Callable[[], None]) -> None:
    """Wait until the API, with database, broker and workers behind it, and Flower say that all is well.

    Args:
        api: base URL of the API.
        flower: base URL of Flower.
        since: workers that started earlier are those of a stack that was killed, and do not count.
        check: called between the questions; raises when waiting has become useless.

    Raises:
        Unavailable: they did not in time; the message quotes the last answer.
    """
    deadline = time.monotonic() + READY_SECONDS
    questions: dict[str, Callable[[str], bool]] = {
        f"{api}/api/ml/health/ready": lambda body: _is_all_well(body, since),
        f"{flower}/healthcheck": lambda _: True,
    }
    for url, is_good in questions.items():
        while True:
            check()
            status, answer = _ask(url)
            if status == http.HTTPStatus.OK and is_good(answer):
                break
            if time.monotonic() > deadline:
                raise Unavailable(f"{url} was not ready after {READY_SECONDS:.0f} s: {answer}")
            time.sleep(0.1)


def match_sample(api: str, *, key: str = "") -> dict[str, Any]:
    """Submit the sample request and follow its job to the end; returns the job's result.

    Where nobody is asked for a key, none is needed.

    Raises:
        Unavailable: the API refused it, or the job did not succeed in time.
    """
    status, headers, body = request("POST", f"{api}/api/ml/match", SAMPLE, {"Prefer": "wait=10"}, key=key)
    location = headers.get("Location", "")
    deadline = time.monotonic() + JOB_SECONDS
    while status in {200, 202}:
        job = json.loads(body)
        if job["state"] == "succeeded":
            return dict(job["result"])
        if job["state"] not in OPEN_STATES or time.monotonic() > deadline:
            break
        time.sleep(0.2)
        status, _, body = request("GET", f"{api}{urlsplit(location).path}", key=key)
    raise Unavailable(f"the sample job did not succeed: {status} {body}")


def tabulate(result: dict[str, Any]) -> Table:
    """Lay out the ranked donors of a match result, and how many of them to ask."""
    ask = result["ask"]
    wanted, hours = f"{result['units_required']} units of {result['blood_group']}", result["horizon_hours"]
    table = Table(
        title=f"Simulated donors for {wanted}, urgency {result['urgency']}",
        caption=f"asking {ask['donors']} gives enough in {hours:.0f} h with probability {ask['probability']:.2f}",
        box=box.SIMPLE,
        padding=(0, 0, 0, 1),
    )
    for heading in ("rank", "donor", "group", "km", "match (interval)", "available", "answers", "reliable"):
        table.add_column(heading, justify="right", no_wrap=True)
    for match in result["matches"]:
        table.add_row(
            str(match["rank"]),
            str(match["donor_id"]),
            match["blood_group"],
            f"{match['distance_km']:.1f}",
            f"{match['match_score']:.2f} ({match['match_score_low']:.2f}-{match['match_score_high']:.2f})",
            f"{match['availability_score']:.2f}",
            _hours(match["response_time_hours"]),
            f"{match['reliability_score']:.2f}",
        )
    return table


def read_schedules(api: str, *, key: str = "") -> list[dict[str, Any]]:
    """Read the schedules with their next run.

    Raises:
        Unavailable: the API refused.
    """
    status, _, body = request("GET", f"{api}/api/ml/schedules", key=key)
    if status != http.HTTPStatus.OK:
        raise Unavailable(f"the schedules could not be read: {status} {body}")
    return list(json.loads(body)["schedules"])


def tabulate_schedules(schedules: list[dict[str, Any]]) -> Table:
    """Lay out the schedules, their next runs in the time of their zones."""
    table = Table(title="Schedules", box=box.SIMPLE, padding=(0, 0, 0, 1))
    for heading in ("name", "cron", "zone", "next run"):
        table.add_column(heading, no_wrap=True)
    for one in schedules:
        table.add_row(one["name"], one["cron"], one["timezone"], _next_run(one))
    return table


def _next_run(schedule: dict[str, Any]) -> str:
    if schedule["next_at"] is None:
        return "paused" if schedule["paused"] else "-"
    moment = datetime.fromisoformat(schedule["next_at"]).astimezone(ZoneInfo(schedule["timezone"]))
    return f"{moment:%a %Y-%m-%d %H:%M}"


def _hours(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} h"


def request(
    method: str, url: str, body: object = None, headers: dict[str, str] | None = None, *, key: str = ""
) -> tuple[int, http.client.HTTPMessage, str]:
    """Send one HTTP request, JSON in, text out.

    Raises:
        OSError: nothing answered.
    """
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        content = {"Content-Type": "application/json"} if body is not None else {}
        shown = {"Authorization": f"Bearer {key}"} if key else {}
        payload = json.dumps(body) if body is not None else None
        connection.request(method, urlunsplit(("", "", *address[2:])), payload, content | shown | (headers or {}))
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def _ask(url: str) -> tuple[int, str]:
    try:
        status, _, body = request("GET", url)
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}"
    return status, body


def _is_all_well(body: str, since: datetime) -> bool:
    health = json.loads(body)
    started = [datetime.fromisoformat(worker["started_at"]) for worker in health["workers"]]
    return health["status"] == "ok" and all(moment >= since for moment in started)
