"""What holds for all tests."""

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

# No test is timed: a busy machine is no failure, and speed is what benchmarks are for.
settings.register_profile("sanguine", deadline=None)
settings.load_profile("sanguine")

INTEGRATION = "tests/integration/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts processes."""
    for item in items:
        if item.nodeid.startswith(INTEGRATION):
            item.add_marker(pytest.mark.integration)


class _Scheduling(LoadFileScheduling):
    """Tests of one file run in one process, and so do all that start processes, one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return INTEGRATION if nodeid.startswith(INTEGRATION) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _Scheduling:
    """Replace the scheduler of `--dist`."""
    return _Scheduling(config, log)
