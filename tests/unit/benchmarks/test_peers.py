import re

import pytest

import benchmarks.peers
from benchmarks.peers import PEERS, require_peers
from benchmarks.peers.shared import unix_url


def test_a_missing_peer_ends_the_run_with_what_to_do(monkeypatch):
    monkeypatch.setattr(benchmarks.peers, "find_spec", lambda package: None if package in {"rq", "huey"} else object())

    with pytest.raises(SystemExit, match=r"RQ, Huey not installed .* run `make bench`"):
        require_peers()


def test_nothing_is_said_when_all_peers_are_installed(monkeypatch):
    monkeypatch.setattr(benchmarks.peers, "find_spec", lambda _package: object())

    require_peers()


def test_rq_is_ready_when_both_of_its_workers_listen():
    ready = next(peer.ready for peer in PEERS if peer.package == "rq")

    assert not re.search(ready, "*** Listening on rq...\n")
    assert re.search(ready, "*** Listening on rq...\nscheduler\n*** Listening on rq...\n")


def test_the_broker_of_celery_is_written_as_redis_clients_write_it():
    assert unix_url("redis+socket:///tmp/a b/valkey.sock?virtual_host=1") == "unix:///tmp/a b/valkey.sock?db=1"


def test_a_broker_that_is_no_unix_socket_is_refused():
    with pytest.raises(ValueError, match="Unix socket"):
        unix_url("redis://localhost:6379/0")
