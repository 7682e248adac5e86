import os
import socket
from collections.abc import Iterator

import pytest

from backend.errors import SettingsError
from backend.ops.ports import find_free, find_holder, require_free


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_free_port_is_accepted() -> None:
    require_free("127.0.0.1", find_free("127.0.0.1"), option="--port")


def test_a_port_in_use_is_refused_with_its_holder_and_the_option_that_changes_it(taken_port: int) -> None:
    with pytest.raises(SettingsError) as caught:
        require_free("127.0.0.1", taken_port, option="--flower-port")
    for part in (f"port {taken_port} is in use", f"process {os.getpid()}", "--flower-port"):
        assert part in str(caught.value)


def test_a_port_on_all_addresses_is_refused_when_one_address_has_it(taken_port: int) -> None:
    with pytest.raises(SettingsError, match="is in use"):
        require_free("0.0.0.0", taken_port, option="--port")  # noqa: S104 - nothing listens


def test_an_address_of_another_machine_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"cannot listen on 192\.0\.2\.1:8000: .*--host"):
        require_free("192.0.2.1", 8000, option="--port")  # TEST-NET-1, RFC 5737


def test_an_unknown_host_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.invalid"):
        require_free("nowhere.invalid", 8000, option="--port")  # RFC 2606


def test_nobody_holds_a_free_port() -> None:
    assert find_holder(find_free("127.0.0.1")) is None
