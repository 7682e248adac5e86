"""The live model is changed on running workers, and nobody notices but by the version of an answer."""

import time

import pytest

from benchmarks.changing import ASKED, MODEL, Load, corrupt, memory, packed, version_and_score
from tests.integration.stack import Answer, Stack, wait_until

ZIP = {"Content-Type": "application/zip"}
MODELS = f"/api/ml/models/{MODEL}"
RELOADS = 6
BOUND = 2.0  # seconds until every process serves what was decided


@pytest.fixture(params=["postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def running(stack: Stack) -> Stack:
    stack.prepare(donors=300)
    stack.start_api()
    stack.start_worker("interactive", queues="interactive,outbound,maintenance", pool="threads", concurrency=4)
    stack.start_worker("batch", queues="batch,maintenance", pool="prefork", concurrency=2)
    stack.wait_ready()
    return stack


def register(stack: Stack, content: bytes, *, by: str = "Asha") -> Answer:
    chunks = (content[at : at + 65_536] for at in range(0, len(content), 65_536))
    return stack.upload(f"/api/ml/models/versions?by={by}", chunks, ZIP)


def decide(stack: Stack, what: str, *, by: str = "Bala", **more: str) -> Answer:
    return stack.call("POST", f"{MODELS}/{what}", {"by": by, "reason": "a test", **more}, timeout=60)


def ask(stack: Stack) -> tuple[str, float]:
    job = stack.call("POST", "/api/ml/predict_availability", ASKED, {"Prefer": "wait=20"})
    return version_and_score(job.body["result"])


def rollout(stack: Stack):
    return stack.call("GET", f"{MODELS}/rollout").body


def converged(stack: Stack) -> bool:
    now = rollout(stack)
    return now["total"] >= 3 and now["converged"] == now["total"]


def workers_memory(stack: Stack) -> int:
    return memory({stack.processes[name].pid for name in ("interactive", "batch")})


def refused(answer: Answer, status: int, *parts: str) -> None:
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    for part in parts:
        assert part in answer.body["detail"]


def test_versions_change_under_load_without_a_failed_or_a_mixed_answer(running: Stack):
    scores = dict([ask(running)])
    for version, shift in (("2", 0.7), ("3", -0.7)):
        made = register(running, packed(version, shift=shift))
        assert (made.status, made.body["state"]) == (201, "registered"), made
        answer = decide(running, "production", version=version)
        assert answer.status == 200, answer
        assert answer.body["summary"] == f"{answer.body['total']} of {answer.body['total']} converged", answer.body
        scores |= dict([ask(running)])
    assert len(set(scores.values())) == 3
    assert register(running, packed("4")).status == 201
    corrupt(running.root, "4")
    with Load(running.port) as load:
        wait_until(lambda: len(load.answers) > 0, seconds=60)
        before = workers_memory(running)
        for turn in range(RELOADS):
            answer = decide(running, "production", version="23"[turn % 2])
            assert answer.status == 200, answer
            if turn % 3 == 0:
                refused(decide(running, "production", version="4"), 422, "truncated or altered")
        decided = time.monotonic()
        wait_until(lambda: converged(running), seconds=20)
        assert time.monotonic() - decided < BOUND
        after = workers_memory(running)
    assert load.failed == []
    assert {(version, score) for version, score in scores.items() if version != "1"} == set(load.answers)
    assert abs(after / before - 1) < 0.10, (before, after)
    history_is_complete(running)


def history_is_complete(stack: Stack) -> None:
    entries = stack.call("GET", f"/api/ml/models/ledger?model={MODEL}&limit=500").body["entries"]
    assert [entry["action"] for entry in entries].count("promoted") == 2 + RELOADS
    at = entries[0]["at"]
    live = stack.call("GET", f"{MODELS}/live?at={at.replace('+', '%2B')}").body
    assert (live["version"], live["by"], live["registered_by"]) == (entries[0]["version"], "Bala", "Asha")
    assert stack.call("GET", "/api/ml/models/ledger/verification").body["first_fault"] is None


def test_what_cannot_be_served_is_refused_and_the_live_version_stays(running: Stack):
    before = ask(running)
    refused(register(running, packed("2", truncated=True)), 422)
    refused(register(running, packed("2", other_digest=True)), 422, "SHA-256 differs")
    refused(register(running, b"PK no zip"), 422)
    refused(decide(running, "production", version="9"), 404)
    assert register(running, packed("2", shift=0.5)).status == 201
    refused(register(running, packed("2", shift=0.6)), 409)
    refused(decide(running, "production", version="2", by="asha"), 409, "somebody else")
    refused(decide(running, "rollback"), 409)
    assert ask(running) == before
    assert decide(running, "production", version="2").status == 200
    assert decide(running, "rollback").status == 200
    assert ask(running) == before
    assert decide(running, "unload").status == 200
    job = running.call("POST", "/api/ml/predict_availability", ASKED, {"Prefer": "wait=20"}).body
    assert (job["state"], job["error"]["code"]) == ("failed", "not_served")
    assert decide(running, "rollback").status == 200
    assert ask(running) == before


def test_a_new_worker_starts_with_what_is_live(running: Stack):
    assert register(running, packed("2", shift=0.7)).status == 201
    assert decide(running, "production", version="2").status == 200
    live = ask(running)
    running.kill("interactive")
    running.start_worker("interactive", queues="interactive,outbound,maintenance", pool="threads", concurrency=4)
    wait_until(lambda: ask(running) == live, seconds=30)
