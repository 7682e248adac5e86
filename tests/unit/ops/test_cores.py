import os
import subprocess
import sys

import pytest

from backend.ops import cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process choose its cores")

STAY = """
import os
from backend.ops import cores
before = os.sched_getaffinity(0)
cores.stay_on_one({number})
assert sorted(before) == cores.of_machine()
print(*os.sched_getaffinity(0))
cores.use(cores.of_machine())
assert os.sched_getaffinity(0) == before
"""


def stay(number: int) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", STAY.format(number=number)], capture_output=True, text=True, check=True
    )
    return [int(core) for core in done.stdout.split()]


def test_processes_stay_on_one_core_each_in_turn_and_may_be_let_go():
    own = sorted(os.sched_getaffinity(0))
    assert [stay(number) for number in range(len(own) + 1)] == [[core] for core in [*own, own[0]]]


def test_a_process_that_stays_nowhere_uses_what_it_may():
    assert cores.of_machine() == sorted(os.sched_getaffinity(0))


def test_no_cores_are_as_many_as_before():
    before = os.sched_getaffinity(0)
    cores.use([])
    assert os.sched_getaffinity(0) == before
