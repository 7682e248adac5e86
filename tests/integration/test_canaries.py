"""A text of its own in every field of every request: logs, broker, Flower and refusals show none of them."""

import base64
import copy
import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from backend.ops.flower import PASSWORD_FILE
from backend.ops.valkey import server_command
from tests.integration.canaries import Planter, mended
from tests.integration.stack import Answer, Stack, send, wait_until
from tests.unit.webhooks.receiver import Receiver, receiving

ALONE = {  # of fields that exclude one another
    "/api/ml/match": "request",
    "/api/ml/predict_availability": "donor",
    "/api/ml/predict_response_time": "donor",
}
PAST = {"registered_at": "2020-01-05T08:00:00Z", "deferred_until": None, "asks": [], "donations": []}
FINISHED = {"succeeded", "failed", "cancelled", "expired", "dead"}
ACCEPTED = (  # the least that must have gone through with texts in it
    *("/api/ml/donors", "/api/ml/requests", "/api/ml/banks", "/api/ml/match", "/api/ml/predict_availability"),
    *("/api/ml/jobs/bulk", "/api/ml/accounts", "/api/ml/webhooks"),
)
TABLE = "/tasks/datatable?draw=1&start=0&length=500&search[value]=&order[0][column]=0&order[0][dir]=desc"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Stack]:
    socket = tmp_path / "valkey.sock"
    url = f"redis+socket://{socket}?virtual_host=0"
    stack = Stack(tmp_path, database_url=f"sqlite:///{tmp_path / 'test.sqlite'}", broker_url=url)
    stack.env |= {"SANGUINE_LOG_LEVEL": "DEBUG", "SANGUINE_WEBHOOK_NETWORKS": "127.0.0.0/8"}
    broker = subprocess.Popen(server_command(socket=socket, directory=tmp_path), stdout=subprocess.DEVNULL)
    stack.prepare(donors=60)
    stack.start_api()
    stack.start_workers()
    stack.start_beat()
    stack.wait_ready()
    yield stack
    stack.stop()
    broker.terminate()
    broker.wait()


class Sender:
    """Sends what is planted to one route after the other, and looks whether a refusal repeats it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.description = stack.call("GET", "/openapi.json").body
        self.planter = Planter(self.description)
        self.accepted: set[str] = set()
        self.refused: dict[str, Any] = {}
        self.repeated: list[str] = []

    def routes(self, *methods: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Those that end what others need come last."""
        paths = sorted(self.description["paths"].items(), key=lambda item: "/model" in item[0])
        for path, operations in paths:
            for method in methods:
                if method in operations:
                    yield method.upper(), path, operations[method]

    def send(self, method: str, path: str, content: bytes, media: str = "application/json") -> Answer:
        """A refusal may repeat nothing of a body, a query or a header, but 404 the id that it has not."""
        canary = self.planter.canary
        headers = {"Content-Type": media, "User-Agent": canary(), "Referer": f"http://x/{canary()}"}
        headers |= {"Cookie": f"name={canary()}", "X-Patient": canary(), "X-Request-Id": f"not {canary()}"}
        url = f"http://127.0.0.1:{self.stack.port}{path}"
        asked = urllib.request.Request(url, method=method, data=content or None, headers=headers)
        answer = send(asked, timeout=60)
        told = json.dumps([answer.body, dict(answer.headers)]).encode()
        if answer.status >= 400 and answer.status != 404 and (found := self.planter.found_in(told)):
            self.repeated.append(f"{method} {path} {answer.status}: {found} in {answer.body}")
        assert answer.status < 500, (method, path, answer)
        return answer

    def plant(self) -> None:
        for method, path, operation in self.routes("post", "patch", "put"):
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if schema is None:
                continue
            where = self._filled(path)
            self.send(method, where, json.dumps(self.planter.wrong(schema)).encode())
            self.send(method, where, f'{{"name": "{self.planter.canary()}", {self.planter.canary()}'.encode())
            self.send(method, where, self.planter.canary().encode(), "text/plain")
            body = self.planter.right(schema)
            if path in ALONE:
                one = body[ALONE[path]]
                body = {ALONE[path]: one | {name: PAST[name] for name in PAST.keys() & one.keys()}}
            self._ask_until_accepted(method, path, where, body)
        inline = self.planter.right({"$ref": "#/components/schemas/InlineRequest"})
        bulk = {"jobs": [{"kind": "blood.match", "request": {"request": inline}}]}
        self._ask_until_accepted("POST", "/api/ml/jobs/bulk", "/api/ml/jobs/bulk", bulk)
        for method, path, operation in self.routes("get", "post"):
            for one in operation.get("parameters", []):
                if one["in"] == "query":
                    query = urllib.parse.urlencode({one["name"]: self.planter.canary()})
                    self.send(method, f"{self._filled(path)}?{query}", b"" if method == "GET" else b"{}")
        self.send("GET", f"/{self.planter.canary()}?{self.planter.canary()}", b"")

    def _ask_until_accepted(self, method: str, path: str, where: str, body: Any) -> None:
        for _ in range(12):
            before = copy.deepcopy(body)
            answer = self.send(method, where, json.dumps(body).encode())
            if answer.status < 400:
                self.accepted.add(path)
                return
            self.refused[path] = answer.body
            body = mended(body, answer.body.get("errors", []))
            if body == before:
                return

    def _filled(self, path: str) -> str:
        path = path.replace("{model}", "donor_seeker_match").replace("{version}", "1")
        path = path.replace("{record_id}", "1").replace("{request_id}", "1")
        name = {"schedules": "nightly_drift", "imports": "donors"}.get(path.split("/")[3], "nobody")
        path = path.replace("{name}", name).replace("{role}", "result").replace("{key_id}", "00000000")
        return "/".join(str(uuid4()) if part.endswith("_id}") else part for part in path.split("/"))


def unfinished(stack: Stack) -> list[dict[str, Any]]:
    page = stack.call("GET", "/api/ml/jobs?limit=100").body
    return [job for job in page["jobs"] if job["state"] not in FINISHED]


def flower_pages(stack: Stack) -> Iterator[bytes]:
    port = stack.start_flower()
    password = ""

    def page(path: str) -> Answer:
        basic = base64.b64encode(f"admin:{password}".encode()).decode()
        return stack.call("GET", path, headers={"Authorization": f"Basic {basic}"}, port=port)

    wait_until(lambda: page("/healthcheck").status == 200, seconds=30, what=stack.tail("flower"))
    password = (stack.root / PASSWORD_FILE).read_text().strip()
    for _ in range(5):  # so that it sees tasks come and go
        stack.call("POST", "/api/ml/predict_availability", {"donor_id": 1})
    wait_until(lambda: "blood.predict_availability" in json.dumps(page("/api/tasks").body), seconds=30)
    for path in ("/api/tasks", "/api/workers?refresh=1", "/metrics", TABLE, "/workers"):
        answer = page(path)
        assert answer.status == 200, (path, answer)
        yield json.dumps(answer.body).encode()


def held_by(broker: Redis) -> Iterator[bytes]:
    for key in broker.scan_iter():
        yield key
        yield broker.dump(key) or b""
        read = {b"list": lambda k: broker.lrange(k, 0, -1), b"hash": broker.hgetall, b"set": broker.smembers}
        read |= {b"zset": lambda k: broker.zrange(k, 0, -1), b"string": broker.get}
        yield repr(read[broker.type(key)](key)).encode()


def plant_and_wait(stack: Stack) -> tuple[Sender, Receiver]:
    sender = Sender(stack)
    with receiving(200) as receiver:
        stack.call("POST", "/api/ml/webhooks", {"url": receiver.url(), "description": sender.planter.canary()})
        sender.plant()
        rows = "\n".join(f"{sender.planter.canary()},{sender.planter.canary()}" for _ in range(3))
        for path in ("/api/ml/imports/donors", "/api/ml/batches?scorer=blood.availability"):
            sender.send("POST", path, f"external_id,name\n{rows}\n".encode(), "text/csv")
            sender.send("POST", path, rows.encode(), "text/csv")
        wait_until(lambda: not unfinished(stack), seconds=120, what=lambda: json.dumps(unfinished(stack)))
        wait_until(lambda: bool(receiver.received), seconds=30, what=stack.tail("interactive"))
    return sender, receiver


def test_no_text_of_any_request_is_in_logs_broker_flower_webhooks_or_refusals(served: Stack) -> None:
    sender, receiver = plant_and_wait(served)
    found_in = sender.planter.found_in
    one = sender.planter.canary()
    for written in (one.upper(), base64.b64encode(f'["{one}"]'.encode()).decode(), f"name={one}&"):
        assert found_in(written.encode()), "who looks must find it"
    assert {path: sender.refused[path] for path in ACCEPTED if path not in sender.accepted} == {}

    flower = set().union(*map(found_in, flower_pages(served)))
    broker = set().union(*map(found_in, held_by(Redis(unix_socket_path=str(served.root / "valkey.sock")))))
    kept = [path for path in served.root.glob("appendonlydir/*") if path.is_file()]
    assert any(b"blood.match" in path.read_bytes() for path in kept), "nothing was kept: look elsewhere"
    files = {path.name: found_in(path.read_bytes()) for path in kept}
    logs = {path.name: found_in(path.read_bytes()) for path in served.root.glob("*.log")}
    webhooks = set().union(*(found_in(one.body + repr(one.headers).encode()) for one in receiver.received))

    assert {name: found for name, found in logs.items() if found} == {}
    assert {name: found for name, found in files.items() if found} == {}
    assert (broker, flower, webhooks) == (set(), set(), set())
    assert not sender.repeated, "\n".join(sender.repeated)
    database = b"".join(path.read_bytes() for path in served.root.glob("test.sqlite*"))
    assert len(found_in(database)) > 20, "what was accepted is in the database, so it was really sent"
    assert b"job_submitted" in (served.root / "api.log").read_bytes()
