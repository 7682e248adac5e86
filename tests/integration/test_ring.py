"""A broker that accepts connections and never answers makes nobody wait for ever."""

import socket
import time
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError

from backend.jobs.ring import Doorbell
from backend.settings import Settings


def test_a_broker_that_hangs_is_given_up(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as hung:
        url = f"redis://127.0.0.1:{hung.getsockname()[1]}/0"
        bell = Doorbell(Settings(broker_url=url, data_dir=tmp_path, _env_file=None))
        started = time.monotonic()
        with pytest.raises(OperationalError):
            bell.waiting("interactive")
        assert time.monotonic() - started < 10, "socket timeouts end it; the default waits for ever"
