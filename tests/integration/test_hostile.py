"""What hostile clients send: refused, nothing of it stored, and the server goes on answering."""

import json
import re
import socket
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from tests.integration.conftest import Valkey
from tests.integration.stack import Stack

pytestmark = pytest.mark.integration

LOCAL = b"Host: localhost\r\nConnection: close\r\n"
NOBODY = "00000000-0000-0000-0000-000000000000"
DEEP = b"[" * 10_000 + b"]" * 10_000
HUGE = b"1" + b"0" * 5_000
JSON = "application/json"
LINES = "application/x-ndjson"


@pytest.fixture(scope="module")
def stack(postgresql_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An API on an empty PostgreSQL database, which takes uploads of 2 MB."""
    engine = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE hostile"))
    url = engine.url.set(database="hostile").render_as_string(hide_password=False)
    valkey = Valkey()
    stack = Stack(tmp_path_factory.mktemp("hostile"), database_url=url, broker_url=valkey.url)
    stack.env["SANGUINE_MAX_UPLOAD_BYTES"] = "2000000"
    stack.migrate()
    stack.start_api()
    yield stack
    stack.stop()
    valkey.stop()
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE hostile WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(autouse=True)
def _unharmed(stack: Stack) -> Iterator[None]:
    """After each test nothing is stored, the server answers, and no request of it was a fault of ours."""
    before = len((stack.root / "api.log").read_text())
    yield
    assert stack.call("GET", "/api/ml/jobs").body["jobs"] == []
    assert stack.call("GET", "/api/ml/models/ledger").body["entries"] == []
    assert [path for path in (stack.root / "files").glob("*/*") if path.is_file()] == []
    assert "request_failed" not in (stack.root / "api.log").read_text()[before:]


def raw(stack: Stack, sent: bytes) -> tuple[int, bytes, bytes]:
    """Return the status, head and body of what is answered to these bytes, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        received = b""
        try:
            connection.sendall(sent)
            while chunk := connection.recv(65_536):
                received += chunk
        except ConnectionError:  # a server that refuses the beginning does not read the rest
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head, body


def post(stack: Stack, path: str, body: bytes, *, kind: str = JSON, **headers: str):
    return stack.upload(
        path, body, {"Content-Type": kind, **{name.replace("_", "-"): headers[name] for name in headers}}
    )


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /api/ml/jobs HTTP/1.1\r\n" + LOCAL + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /api/ml/jobs HTTP/1.1\r\n" + LOCAL + b"".join(b"X-%d: a\r\n" % n for n in range(200)) + b"\r\n", 431),
        (b"GET /api/ml/jobs?kind=" + b"a" * 100_000 + b" HTTP/1.1\r\n" + LOCAL + b"\r\n", 414),
        (b"GET /api/ml/\x00 HTTP/1.1\r\n" + LOCAL + b"\r\n", 400),
        (b"GET /api/ml/jobs HTTP/1.1\r\n" + LOCAL + b"X-A: a\x00b\r\n\r\n", 400),
        (b"GET /api/ml/jobs HTTP/1.1\r\n" + LOCAL + b"X-A: a\r\n b\r\n\r\n", 400),
        (b"POST /api/ml/match HTTP/1.1\r\n" + LOCAL + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (
            b"POST /api/ml/match HTTP/1.1\r\n" + LOCAL + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            400,
        ),
        (b"POST /v2/models/a/infer HTTP/1.1\r\n" + LOCAL + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n{}", 400),
        (b"POST /v2/models/a/infer HTTP/1.1\r\n" + LOCAL + b"Content-Length: \xb2\r\n\r\n{}", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS where there is none\r\n\r\n", 400),
    ],
    ids=range(12),
)
def test_a_request_that_is_none_is_refused_by_the_server(stack: Stack, sent: bytes, status: int):
    assert raw(stack, sent)[0] == status


@pytest.mark.parametrize(
    "body", [DEEP, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, HUGE, b"NaN", b'"\xff"', b'"\\ud800"']
)
def test_hostile_json_is_refused_wherever_json_is_read(stack: Stack, body: bytes):
    for path, around in (
        ("/api/ml/match", b'{"request_id": %s}'),
        ("/api/ml/jobs/bulk", b'{"jobs": [{"kind": "blood.match", "request": {"request_id": %s}}]}'),
        ("/api/ml/batches", b'{"model": "donor_availability", "rows": [{"age": %s}]}'),
        ("/api/ml/donors", b'{"external_id": %s}'),
        ("/api/ml/models/donor_availability/reload", b'{"reason": %s}'),
        ("/api/ml/auth/login", b'{"name": %s, "password": "x"}'),
        ("/v2/models/donor_availability/infer", b'{"inputs": [{"name": %s}]}'),
        ("/v2/repository/index", b'{"ready": %s}'),
    ):
        answer = post(stack, path, around % body)
        assert answer.status in (400, 422), path
        if path.startswith("/api"):
            assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.body["code"] in {"bad_request", "validation_failed"}


@pytest.mark.parametrize(
    "line", [DEEP, b'{"external_id": ' + DEEP, b"NaN", b'{"external_id": "\xff"}', b"\x00", b"\xff\xfe{\x00"]
)
def test_hostile_lines_of_json_are_refused_before_a_job_is_made_of_them(stack: Stack, line: bytes):
    for path in ("/api/ml/imports/donors", "/api/ml/batches?model=donor_availability"):
        answer = post(stack, path, line + b"\n", kind=LINES)
        assert answer.status == 422, answer.body
        assert answer.body["code"] in {"bad_file", "validation_failed"}


@pytest.mark.parametrize("text", ["\\u0000", "a\\u0000b"])
def test_text_that_no_database_stores_is_refused_and_not_a_fault(stack: Stack, text: str):
    for path, body in (
        ("/api/ml/models/donor_availability/reload", f'{{"reason": "{text}", "by": "somebody"}}'),
        ("/api/ml/models/donor_availability/reload", f'{{"reason": "again", "by": "{text}"}}'),
        ("/api/ml/auth/login", f'{{"name": "{text}", "password": "x"}}'),
        ("/api/ml/match?callback=https://a.example/%00", f'{{"request_id": "{text}"}}'),
    ):
        assert post(stack, path, body.encode()).status == 422, path


NAMES = [
    "..%2f..%2fetc%2fpasswd",
    "..%5c..%5cetc",
    "%2e%2e",
    "%2fetc%2fpasswd",
    "C:%5cx",
    "%00",
    "manifest.json%00.txt",
    "%C0%AE%C0%AE%C0%AF",
    "%EF%BC%8E%EF%BC%8E%EF%BC%8Fetc",
    "%E2%80%AE",
    "%ED%A0%80",
    "a%0d%0aX-Injected:%20yes",
    "a" * 3_000,
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_a_path_leads_anywhere(stack: Stack, name: str):
    csv = b"external_id\nx\n"
    for method, path, body, kind in (
        ("GET", "/api/ml/models/{}/versions", b"", JSON),
        ("GET", "/api/ml/models/donor_availability/versions/{}", b"", JSON),
        ("POST", "/api/ml/models/{}/reload", b'{"reason": "x", "by": "y"}', JSON),
        ("GET", "/api/ml/models/{}/rollout", b"", JSON),
        ("GET", "/api/ml/models/{}/live", b"", JSON),
        ("GET", "/api/ml/schedules/{}", b"", JSON),
        ("POST", "/api/ml/schedules/{}/run", b"", JSON),
        ("POST", "/api/ml/imports/{}", csv, "text/csv"),
        ("GET", f"/api/ml/jobs/{NOBODY}/files/{{}}", b"", JSON),
        ("GET", "/api/ml/accounts/{}", b"", JSON),
        ("GET", "/v2/models/{}", b"", JSON),
        ("POST", "/v2/models/{}/infer", b'{"inputs": []}', JSON),
        ("POST", "/v2/repository/models/{}/load", b"{}", JSON),
        ("GET", "/static/{}", b"", JSON),
        ("GET", "/apidocs-assets/{}", b"", JSON),
    ):
        target = path.replace("{}", name).encode()
        head = b"%s %s HTTP/1.1\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
        status, headers, answer = raw(stack, head % (method.encode(), target, LOCAL, kind.encode(), len(body)) + body)
        assert status in {404, 405, 308}, (path, status, answer)  # 308: two slashes are one
        assert b"root:" not in answer
        assert b"X-Injected" not in headers


def test_no_parameter_of_a_query_is_a_fault(stack: Stack):
    described = stack.call("GET", "/openapi.json").body["paths"]
    asked = 0
    for path, operations in described.items():
        for parameter in operations.get("get", {}).get("parameters", ()):
            if parameter["in"] != "query":
                continue
            target = re.sub(r"{\w*id}", NOBODY, path).replace("{model}", "donor_availability")
            for value in ("%00", "1" + "0" * 400, "-1", "NaN", "1e400", "%ED%A0%80", "9999-12-31T23:59:59-12:00"):
                answer = stack.call("GET", f"{target}?{parameter['name']}={value}")
                assert answer.status < 500, (target, parameter["name"], value)
                asked += 1
    assert asked > 100


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_what_is_compressed_is_refused_before_it_is_read(stack: Stack, coding: str):
    for path, kind in (
        ("/api/ml/match", JSON),
        ("/api/ml/jobs/bulk", JSON),
        ("/api/ml/batches?model=donor_availability", "text/csv"),
        ("/api/ml/imports/donors", LINES),
        ("/api/ml/models/versions?by=somebody", "application/zip"),
        ("/v2/models/donor_availability/infer", JSON),
        ("/v2/repository/index", JSON),
    ):
        assert post(stack, path, b"\x1f\x8b" * 10, kind=kind, Content_Encoding=coding).status == 415, path


@pytest.mark.parametrize(
    ("path", "kind", "most"),
    [
        ("/api/ml/batches?model=donor_availability", "text/csv", "2,000,000"),
        ("/api/ml/match", JSON, "1,000,000"),
        ("/v2/models/donor_availability/infer", JSON, "20,000,000"),
    ],
)
def test_a_body_in_chunks_has_the_limit_of_any_other(stack: Stack, path: str, kind: str, most: str):
    def endless() -> Iterator[bytes]:
        for _ in range(25):
            yield b" " * 1_000_000

    answer = stack.upload(path, endless(), {"Content-Type": kind})
    assert answer.status == 413
    assert most in json.dumps(answer.body)


@pytest.mark.parametrize(
    "chunk", [b"-1\r\n{}\r\n", b"ffffffffffffffffffff\r\n", b"0x2\r\n{}\r\n", b"2;" + b"a" * 100_000, b"zz\r\n"]
)
def test_chunks_that_are_none_are_refused(stack: Stack, chunk: bytes):
    head = b"POST /api/ml/batches?model=donor_availability HTTP/1.1\r\n" + LOCAL
    sent = head + b"Content-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert re.match(rb"HTTP/1.1 4\d\d ", connection.recv(65_536))


@pytest.mark.parametrize("key", ["k" * 5_000, "\u00ff", "a b", "", "a\tb"])
def test_a_key_that_is_none_is_refused(stack: Stack, key: str):
    body = b'{"jobs": [{"kind": "platform.cleanup", "request": {}}]}'
    head = b"POST /api/ml/jobs/bulk HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n"
    key_line = b"Idempotency-Key: " + key.encode("latin-1") + b"\r\n\r\n"
    status, _, answer = raw(stack, head % (LOCAL, len(body)) + key_line + body)
    assert status == 422, answer


def test_forty_clients_that_send_a_byte_now_and_then_hold_up_nobody_else(stack: Stack):
    # Each holds one of gunicorn's 96 threads for as long as it likes: more of them are for a proxy to keep out.
    head = b"POST /api/ml/match HTTP/1.1\r\n" + LOCAL + b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    slow = [socket.create_connection(("127.0.0.1", stack.port), timeout=10) for _ in range(40)]
    try:
        for connection in slow:
            connection.sendall(head)
        for _ in range(3):
            for connection in slow:
                connection.sendall(b" ")
            started = time.monotonic()
            assert stack.call("GET", "/api/ml/jobs").status == 200
            assert time.monotonic() - started < 2.0
    finally:
        for connection in slow:
            connection.close()
