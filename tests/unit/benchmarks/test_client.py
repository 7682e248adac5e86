import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from benchmarks.client import post_all, post_and_wait
from benchmarks.processes import HOST


class Api:
    """Answers as the API does: each path with the next of its answers, the last one again and again."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                api.asked.append((self.command, self.path, self.rfile.read(int(self.headers["Content-Length"] or 0))))
                turns = api.answers[urlsplit(self.path).path]
                status, body = turns.pop(0) if len(turns) > 1 else turns[0]
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _answer  # noqa: N815 - the names that the server calls

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.port = self.server.server_port


@pytest.fixture
def serve():
    running = []

    def start(answers):
        api = Api(answers)
        api.server.daemon_threads = True
        api.server.block_on_close = False
        thread = threading.Thread(target=api.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((api, thread))
        return api

    yield start
    for api, thread in running:
        api.server.shutdown()
        thread.join()
        api.server.server_close()


def page(*scores, next_after=None):
    return 200, {"jobs": [{"result": {"score": score}} for score in scores], "next_after": next_after}


def test_a_job_that_succeeded_in_time_gives_its_result(serve):
    api = serve({"/api/ml/bench": [(200, {"state": "succeeded", "result": {"score": 0.5}})]})

    assert post_and_wait(api.port, "/bench", {"values": [1.0]}) == {"score": 0.5}


def test_a_job_that_is_still_queued_fails_the_measurement(serve):
    api = serve({"/api/ml/bench": [(202, {"state": "queued"})]})

    with pytest.raises(RuntimeError, match="queued"):
        post_and_wait(api.port, "/bench", {"values": [1.0]})


def test_a_bulk_gives_the_results_of_all_pages_when_it_has_finished(serve):
    api = serve(
        {
            "/api/ml/jobs/bulk": [(202, {"id": "b"})],
            "/api/ml/jobs/bulk/b": [
                (200, {"total": 3, "states": {"queued": 2, "succeeded": 1}, "finished_at": None}),
                (200, {"total": 3, "states": {"succeeded": 3}, "finished_at": "2026-01-01T00:00:00Z"}),
            ],
            "/api/ml/jobs/bulk/b/jobs": [page(0.1, 0.2, next_after=1), page(0.3)],
        }
    )

    fetch = post_all(api.port, [{"kind": "bench.predict", "request": {}}] * 3)

    assert len(api.asked) == 1
    assert fetch() == [{"score": 0.1}, {"score": 0.2}, {"score": 0.3}]
    assert [parse_qs(urlsplit(path).query)["after"] for _, path, _ in api.asked if "?" in path] == [["-1"], ["1"]]


def test_a_bulk_that_is_refused_fails_the_measurement(serve):
    api = serve({"/api/ml/jobs/bulk": [(404, {"title": "Not Found"})]})

    with pytest.raises(RuntimeError, match="404"):
        post_all(api.port, [])


def test_a_job_of_a_bulk_that_ended_without_a_result_fails_the_measurement(serve):
    api = serve(
        {
            "/api/ml/jobs/bulk": [(202, {"id": "b"})],
            "/api/ml/jobs/bulk/b": [(200, {"total": 2, "states": {"succeeded": 1, "dead": 1}, "finished_at": "now"})],
        }
    )

    fetch = post_all(api.port, [{}, {}])

    with pytest.raises(RuntimeError, match="dead"):
        fetch()
