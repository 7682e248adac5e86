"""From a file of donors to blood: planned, asked, answered and given; two workers plan, on a real PostgreSQL."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.integration.conftest import Valkey
from tests.integration.stack import Answer, Stack, wait_until

API = "/api/ml"
WAIT = {"Prefer": "wait=20"}
DONORS = 400
KOCHI = {"district": "Ernakulam", "latitude": 9.97, "longitude": 76.28}
NAME, PHONE = "Asha Kurian", "+91 98470 {:05}"
MASKED_NAME = "A••• K•••"


@pytest.fixture
def running(tmp_path: Path, postgresql: str, valkey: Valkey) -> Iterator[Stack]:
    stack = Stack(tmp_path, database_url=postgresql, broker_url=valkey.url)
    stack.migrate()
    stack.start_api()
    for name in ("first", "second"):
        stack.start_worker(
            name,
            queues="interactive,outbound,maintenance",
            pool="threads",
            concurrency=2,
            app="tests.integration.wakeful",
        )
    stack.start_worker("batch", queues="batch,maintenance", pool="prefork", concurrency=1)
    stack.start_beat()
    stack.wait_ready(seconds=90)
    yield stack
    stack.stop()


def test_a_request_is_planned_asked_answered_and_met_and_no_donor_is_asked_for_two_at_once(running: Stack):
    donors_are_imported(running)
    asking, first_wave = a_critical_request_has_a_wave_that_is_due(running)
    asked_donors_are_counted_and_not_asked_again(running, asking, first_wave)
    who_accepts_is_revealed_and_changes_what_is_to_be_expected(running, asking, first_wave)
    an_answer_of_somebody_who_was_never_asked_stores_nothing(running, asking, first_wave)
    donations_meet_the_request(running, asking, first_wave)
    stock_meets_the_next_one(running)
    two_plans_at_once_share_no_donor(running)


def created(answer: Answer) -> dict[str, Any]:
    assert answer.status == 201, answer
    body: dict[str, Any] = answer.body
    return body


def add_request(stack: Stack, external_id: str, *, urgency: int) -> int:
    need = {"external_id": external_id, "blood_group": "B+", "units_required": 2, "urgency": urgency}
    request_id: int = created(stack.call("POST", f"{API}/requests", need | KOCHI))["id"]
    return request_id


def plan(stack: Stack, request_id: int) -> dict[str, Any]:
    answer = stack.call("POST", f"{API}/requests/{request_id}/plan", {}, WAIT)
    assert (answer.status, answer.body["state"]) == (200, "succeeded"), answer
    result: dict[str, Any] = answer.body["result"]
    return result


def due(result: dict[str, Any]) -> list[int]:
    """The donors whom a plan asks now, best first."""
    return [donor["donor_id"] for wave in result["waves"] if wave["send"] for donor in wave["donors"]]


def record(stack: Stack, request_id: int, event: str, donors: list[int]) -> Answer:
    at = datetime.now(UTC).isoformat()
    events = [{"request_id": request_id, "donor_id": donor, "event": event, "at": at} for donor in donors]
    return stack.call("POST", f"{API}/outcomes", {"events": events})


def asks(stack: Stack, request_id: int) -> dict[str, Any]:
    answer = stack.call("GET", f"{API}/requests/{request_id}/asks?limit=1000")
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


def donors_are_imported(stack: Stack) -> None:
    chance = random.Random(3)  # noqa: S311 - places, not secrets
    header = "external_id,name,phone,blood_group,sex,born_on,weight_kg,latitude,longitude,consented,registered_at"
    registered = (datetime.now(UTC) - timedelta(days=400)).isoformat()
    lines = [header]
    for number in range(DONORS):
        place = f"{9.97 + chance.uniform(-0.2, 0.2):.4f},{76.28 + chance.uniform(-0.2, 0.2):.4f}"
        group = "B+" if number % 10 else "A+"  # A+ cannot give to B+
        lines.append(f"D-{number},{NAME},{PHONE.format(number)},{group},male,1990-05-17,70,{place},yes,{registered}")
    answer = stack.upload(f"{API}/imports/donors", "\n".join(lines).encode(), {"Content-Type": "text/csv", **WAIT})
    assert answer.status == 200, answer
    assert (answer.body["result"]["created"], answer.body["result"]["failed"]) == (DONORS, 0)


def a_critical_request_has_a_wave_that_is_due(stack: Stack) -> tuple[int, list[int]]:
    request_id = add_request(stack, "R-1", urgency=4)
    result = plan(stack, request_id)
    donors = due(result)
    assert result["reason"] is None
    assert result["units_wanted"] == 2
    assert len(donors) >= 4
    assert {donor["blood_group"] for wave in result["waves"] for donor in wave["donors"]} == {"B+"}
    assert result["probability"] == 0
    assert result["waves"][0]["probability"] > 0
    return request_id, donors


def asked_donors_are_counted_and_not_asked_again(stack: Stack, request_id: int, wave: list[int]) -> None:
    recorded = record(stack, request_id, "asked", wave)
    assert recorded.body["events"] == {"asked": {"recorded": len(wave), "unchanged": 0}}, recorded
    shown = asks(stack, request_id)
    assert shown["summary"]["asked"] == len(shown["asks"]) == len(wave)
    for ask in shown["asks"]:
        assert (ask["revealed"], ask["name"]) == (False, MASKED_NAME)
        assert ask["phone"].startswith("•")
    result = plan(stack, request_id)
    assert (result["asked"]["asked"], result["asked"]["silent"]) == (len(wave), len(wave))
    assert result["probability"] > 0
    assert not set(wave) & {donor["donor_id"] for one in result["waves"] for donor in one["donors"]}


def who_accepts_is_revealed_and_changes_what_is_to_be_expected(stack: Stack, request_id: int, wave: list[int]) -> None:
    before = plan(stack, request_id)["probability"]
    assert record(stack, request_id, "declined", wave[2:3]).status == 200
    declined = plan(stack, request_id)["probability"]
    assert record(stack, request_id, "accepted", wave[:2]).status == 200
    result = plan(stack, request_id)
    assert declined < before < result["probability"]
    assert (result["asked"]["accepted"], result["asked"]["declined"]) == (2, 1)
    shown = {ask["donor_id"]: ask for ask in asks(stack, request_id)["asks"]}
    assert {donor for donor, ask in shown.items() if ask["revealed"]} == set(wave[:2])
    for donor, ask in shown.items():
        known = stack.call("GET", f"{API}/donors/{donor}").body
        number = int(known["external_id"].removeprefix("D-"))
        assert (known["name"], known["phone"]) == (MASKED_NAME, f"••••••••{PHONE.format(number)[-2:]}")
        if ask["revealed"]:
            assert (ask["name"], ask["phone"]) == (NAME, PHONE.format(number))
        else:
            assert (ask["name"], ask["phone"]) == (known["name"], known["phone"])


def an_answer_of_somebody_who_was_never_asked_stores_nothing(stack: Stack, request_id: int, wave: list[int]) -> None:
    before = asks(stack, request_id)
    stranger = next(donor for donor in range(1, DONORS) if donor not in wave)
    refused = record(stack, request_id, "accepted", [wave[3], stranger])
    assert (refused.status, refused.headers["Content-Type"]) == (422, "application/problem+json")
    assert [error["field"] for error in refused.body["errors"]] == ["events.1.event"]
    assert "never asked" in refused.body["errors"][0]["reason"]
    assert asks(stack, request_id) == before


def donations_meet_the_request(stack: Stack, request_id: int, wave: list[int]) -> None:
    recorded = record(stack, request_id, "donated", wave[:2])
    assert (recorded.status, recorded.body["donations"]) == (200, 2)
    again = stack.call("GET", f"{API}/donations?donor_id={wave[0]}").body["items"]
    assert [donation["component"] for donation in again] == ["red_cells"]
    result = plan(stack, request_id)
    assert (result["reason"], result["probability"], due(result)) == ("enough_likely", 1.0, [])
    assert result["asked"]["donated"] == 2
    summary = asks(stack, request_id)["summary"]
    assert summary == {"asked": len(wave), "answered": 3, "accepted": 2, "arrived": 2, "donated": 2}


def stock_meets_the_next_one(stack: Stack) -> None:
    request_id = add_request(stack, "R-2", urgency=4)
    assert plan(stack, request_id)["stock"] == {"usable_units": 0, "lines": []}
    bank = created(stack.call("POST", f"{API}/banks", {"external_id": "B-1", "name": "Kochi blood bank", **KOCHI}))
    collected = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    for number, (group, product) in enumerate(
        [("B+", "red_cells_cpda1"), ("A+", "red_cells_cpda1"), ("B+", "platelets"), ("O-", "red_cells_additive")]
    ):
        unit = {"external_id": f"U-{number}", "blood_group": group, "product": product, "collected_at": collected}
        created(stack.call("POST", f"{API}/units", unit | {"bank_external_id": "B-1"}))
    result = plan(stack, request_id)
    assert (result["stock"]["usable_units"], result["units_wanted"]) == (2, 0)
    assert [(line["blood_group"], line["units"]) for line in result["stock"]["lines"]] == [("B+", 1), ("O-", 1)]
    assert (result["reason"], result["waves"], result["probability"]) == ("stock_covers", [], 1.0)
    page = stack.call("GET", f"{API}/stock?bank_id={bank['id']}").body
    assert sum(cell["available"] for cell in page["cells"]) == 4
    assert stack.call("PATCH", f"{API}/units/1", {"state": "issued"}).status == 200
    result = plan(stack, request_id)
    assert (result["stock"]["usable_units"], result["units_wanted"], result["reason"]) == (1, 1, None)


def two_plans_at_once_share_no_donor(stack: Stack) -> None:
    """Both have chosen before either can hold, so that one of them must choose again."""
    requests = [add_request(stack, f"R-1{number}", urgency=3) for number in range(2)]
    engine = create_engine(stack.env["SANGUINE_DATABASE_URL"])
    with engine.connect() as holding:
        holding.execute(text("LOCK TABLE donor_hold IN SHARE MODE"))
        jobs = [stack.call("POST", f"{API}/requests/{request_id}/plan", {}).body["id"] for request_id in requests]
        wait_until(lambda: waiting_to_hold(engine) == 2, seconds=15, what=stack.tail("first"))
    engine.dispose()

    def ended() -> list[dict[str, Any]]:
        return [stack.call("GET", f"{API}/jobs/{job_id}").body for job_id in jobs]

    wait_until(lambda: all(job["finished_at"] for job in ended()), seconds=30, what=lambda: str(ended()))
    assert [job["state"] for job in ended()] == ["succeeded", "succeeded"], ended()
    assert sorted(job["attempt"] for job in ended()) == [1, 2]
    waves = [due(job["result"]) for job in ended()]
    assert all(waves), "each has a wave that is due"
    assert not set(waves[0]) & set(waves[1])
    third = due(plan(stack, add_request(stack, "R-20", urgency=3)))
    assert third
    assert not set(third) & {*waves[0], *waves[1]}


def waiting_to_hold(engine: Engine) -> int:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'donor_hold'::regclass"
    with engine.connect() as connection:
        return int(connection.scalar(text(waiting)) or 0)
