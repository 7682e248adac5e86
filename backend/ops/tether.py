"""Tie a process to its parent: `python tether.py SIGTERM COMMAND …` becomes COMMAND and ends when its parent does.

Supervisors stop their children only while they live themselves. The kernel also sees a parent that was killed by
SIGKILL, so every process of the stack is tethered to the one that started it. Standard library only: it runs before
each of them, in about 20 ms.
"""

import ctypes
import os
import signal
import sys

TETHER = [sys.executable, __file__]  # in front of a signal and a command
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent(number: signal.Signals) -> None:
    """Ask the kernel to send `number` to this process when its parent ends, in whatever way.

    Linux only, nothing elsewhere. It survives exec and not fork: gunicorn and Celery see to their own children.

    Raises:
        OSError: the kernel refused.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(number)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before the kernel knew
        os.kill(os.getpid(), number)


def main(arguments: list[str]) -> None:
    """Tether this process by the signal named first, then become the command that follows (an absolute path first)."""
    name, *command = arguments
    die_with_parent(signal.Signals[name])
    os.execv(command[0], command)  # noqa: S606 - there is no shell on purpose


if __name__ == "__main__":
    main(sys.argv[1:])
