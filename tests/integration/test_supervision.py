import os
import shlex
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.errors import SettingsError, StackError
from backend.ops import supervision
from backend.ops.supervision import CONFIGURATION, LAST_LINES, Supervision, last_lines

PROGRAM = """
[program:stand-in]
command = %(ENV_STACK_TETHER)s SIGKILL %(ENV_STACK_PYTHON)s -uc %(ENV_STACK_SCRIPT)s
autostart = false
autorestart = true
startsecs = 1
redirect_stderr = true
stdout_logfile = %(ENV_STACK_LOGS)s/stand-in.log
"""
STAYS = "import time; print('up'); time.sleep(60)"
ENDS = "print('the reason'); raise SystemExit(3)"
KILLED = "import os; os.kill(os.getpid(), 9)"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a configuration of one program, which has the settings of ours and runs STACK_SCRIPT."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        configuration = Path(name, "supervisord.conf")
        configuration.write_text(CONFIGURATION.read_text().partition("[program:")[0] + PROGRAM)
        monkeypatch.setattr(supervision, "CONFIGURATION", configuration)
        Path(name, "log").mkdir()
        yield Path(name)


def supervise(folder: Path, script: str) -> Supervision:
    environment = {**os.environ, "STACK_SCRIPT": shlex.quote(script)}
    return Supervision(sockets=folder, logs=folder / "log", environment=environment, directory=folder)


def wait_for_text(log: Path, text: str) -> None:
    deadline = time.monotonic() + 10
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < deadline, f"{text!r} never came"
        time.sleep(0.02)


def test_a_program_runs_until_it_is_left_and_leaves_no_socket(folder: Path) -> None:
    script = STAYS.replace("'up'", "__import__('os').getpid()")
    with supervise(folder, script) as running:
        running.start("stand-in")
        wait_for_text(folder / "log" / "stand-in.log", "\n")
        running.check()
        pid = int((folder / "log" / "stand-in.log").read_text())
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not list(folder.glob("*.sock"))
    assert not list(folder.glob("*.pid"))


def test_an_end_that_nobody_asked_for_is_an_error_with_the_last_lines(folder: Path) -> None:
    with supervise(folder, ENDS) as running:
        running.start("stand-in")
        wait_for_text(folder / "log" / "supervisord.log", "exited: stand-in")
        with pytest.raises(StackError, match=r"stand-in ended \(exit status 3\)(.|\n)*the reason"):
            running.check()


def watch_until(running: Supervision, text: str) -> str:
    """Watch until something with this text was told."""
    told: list[str] = []
    deadline = time.monotonic() + 15
    while text not in "\n".join(told):
        assert time.monotonic() < deadline, told
        running.watch(told.append)
        time.sleep(0.05)
    return told[-1]


@pytest.mark.parametrize(
    ("end", "reason"), [("raise SystemExit(70)", "exit status 70"), (KILLED, "terminated by SIGKILL")]
)
def test_a_program_that_ends_while_it_is_watched_is_started_again_and_it_is_told_in_one_line(
    folder: Path, end: str, reason: str
) -> None:
    script = f"import time; print('up', flush=True); time.sleep(1.5); print('the reason', flush=True); {end}"
    with supervise(folder, script) as running:
        running.start("stand-in")
        told = watch_until(running, "was started again")
        assert told == f"stand-in ended ({reason}) and was started again; see {folder}/log/stand-in.log"
        watch_until(running, "was started again")
        log = folder / "log" / "stand-in.log"
        wait_for_text(log, "the reason\nup\nthe reason\nup")


def test_a_program_that_ends_again_and_again_at_its_start_is_given_up_with_its_last_lines(folder: Path) -> None:
    with supervise(folder, ENDS) as running:
        running.start("stand-in")
        with pytest.raises(StackError, match=r"stand-in ended \(.+\)(.|\n)*the reason"):
            watch_until(running, "never told")
        assert (folder / "log" / "stand-in.log").read_text().count("the reason") == 4


def test_a_second_stack_on_the_same_folder_is_refused_and_the_first_goes_on(folder: Path) -> None:
    with supervise(folder, STAYS) as first:
        first.start("stand-in")
        with pytest.raises(SettingsError, match=r"another run\.py uses .*--data-dir"), supervise(folder, STAYS):
            pass
        first.check()


def test_an_unknown_program_is_an_error(folder: Path) -> None:
    with supervise(folder, STAYS) as running, pytest.raises(StackError, match="BAD_NAME"):
        running.start("nothing")


def test_a_supervisord_that_cannot_start_says_why(folder: Path) -> None:
    folder.joinpath("supervisord.conf").write_text("[supervisord]\nlogfile = /nowhere/at/all.log\n")
    with pytest.raises(StackError, match=r"did not start(.|\n)*/nowhere/at"), supervise(folder, STAYS):
        pass


def test_the_log_of_the_run_before_is_kept(folder: Path) -> None:
    folder.joinpath("log", "api.log").write_text("before")
    with supervise(folder, STAYS):
        assert folder.joinpath("log", "api.log.1").read_text() == "before"


def test_last_lines_are_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {n}\n" for n in range(100)))
    quoted = last_lines(log).splitlines()[1:]
    assert (len(quoted), quoted[-1]) == (LAST_LINES, "    line 99")


def test_a_log_without_lines_says_so(tmp_path: Path) -> None:
    assert "(nothing)" in last_lines(tmp_path / "none.log")
