import re
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from structlog.contextvars import bind_contextvars, get_contextvars
from werkzeug.test import Client

from backend.api.request_ids import RequestIds
from tests.said import said_by


class Inner:
    """An application that notes what is bound while it answers and while its answer is sent."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.seen.append(get_contextvars())
        if environ["PATH_INFO"] == "/fails":
            raise LookupError("on purpose")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return FileWrapper(environ["wsgi.input"]) if environ["PATH_INFO"] == "/file" else self._sent()

    def _sent(self) -> Iterator[bytes]:
        self.seen.append(get_contextvars())
        yield b"answered"


@pytest.fixture(scope="module")
def inner() -> Inner:
    return Inner()


@given(st.from_regex(r"[A-Za-z0-9._-]{8,64}", fullmatch=True))
def test_a_caller_s_id_is_kept(inner: Inner, request_id: str) -> None:
    inner.seen.clear()
    answer = Client(RequestIds(inner)).get("/", headers={"X-Request-Id": request_id})
    assert answer.headers.getlist("X-Request-Id") == [request_id]
    assert inner.seen == [{"request_id": request_id}] * 2


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_what_is_no_id_is_not_repeated(inner: Inner, shown: str) -> None:
    answer = Client(RequestIds(inner)).get("/", headers={"X-Request-Id": shown})
    if not re.fullmatch(r"[A-Za-z0-9._-]{8,64}", shown):
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_each_request_without_an_id_gets_its_own(inner: Inner) -> None:
    client = Client(RequestIds(inner))
    assert len({client.get("/").headers["X-Request-Id"] for _ in range(20)}) == 20


def test_nothing_stays_bound_after_a_request(inner: Inner) -> None:
    inner.seen.clear()
    bind_contextvars(left="by another")
    client = Client(RequestIds(inner))
    client.get("/", buffered=True)
    assert inner.seen[0].keys() == {"request_id"}
    assert get_contextvars() == {}
    with pytest.raises(LookupError):
        client.get("/fails")
    assert get_contextvars() == {}


def test_a_file_stays_one_that_the_server_can_send_by_itself(inner: Inner) -> None:
    environ = {"PATH_INFO": "/file", "wsgi.input": None, "wsgi.file_wrapper": FileWrapper}
    answer = RequestIds(inner)(environ, lambda *_: None)
    assert type(answer) is FileWrapper
    assert get_contextvars() == {}


def test_every_answer_of_the_api_has_one(app: Flask) -> None:
    client = app.test_client()
    for method, path in (("GET", "/api/ml/health/live"), ("GET", "/nowhere"), ("POST", "/v2/models/none/infer")):
        answer = client.open(path, method=method, headers={"X-Request-Id": "mine-4711"})
        assert answer.headers["X-Request-Id"] == "mine-4711", path


def test_a_fault_is_logged_with_the_request_s_id(app: Flask) -> None:
    from backend.api import errors  # noqa: PLC0415 - the module whose log is watched

    seen: list[dict[str, Any]] = []

    def fail() -> str:
        seen.append(get_contextvars())
        raise LookupError("on purpose")

    app.add_url_rule("/fails", view_func=fail)
    with said_by(errors) as logs:
        answer = app.test_client().get("/fails", headers={"X-Request-Id": "mine-4711"})
    assert answer.status_code == 500
    assert logs == [{"event": "request_failed", "error": "LookupError"}]
    assert seen == [{"request_id": "mine-4711"}]
