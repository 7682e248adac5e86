"""TCP ports: is one free, who has it, and one that is free."""

import errno
import socket
from pathlib import Path

from backend.errors import SettingsError

LISTENING = "0A"  # TCP_LISTEN in the state column of /proc/net/tcp


def require_free(host: str, port: int, *, option: str) -> None:
    """Check that a server can listen on `host`:`port`; `option` is what changes the port.

    Raises:
        SettingsError: it cannot; the message says why, who holds the port where that is known, and what to change.
    """
    try:
        _bind(host, port)
    except socket.gaierror:
        raise SettingsError(f"cannot listen on {host}: no such host; change --host") from None
    except OSError as error:
        raise SettingsError(_explain(error, host, port, option)) from None


def find_free(host: str) -> int:
    """Find a port of `host` that nothing listens on."""
    return _bind(host, 0)


def _bind(host: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: connections of a stopped server that linger in TIME_WAIT do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        return int(probe.getsockname()[1])


def _explain(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = find_holder(port)
        return f"port {port} is in use{f' by {holder}' if holder else ''}; stop it or choose another with {option}"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges that this user lacks; choose one above 1023 with {option}"
    return f"cannot listen on {host}:{port}: {error.strerror}; change --host or {option}"


def find_holder(port: int) -> str | None:
    """Name the process that listens on `port` ("gunicorn, process 4711"); None where this user cannot see it."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in sockets for link in process.joinpath("fd").iterdir()):
                return f"{process.joinpath('comm').read_text().strip()}, process {process.name}"
        except OSError:  # it ended meanwhile, or belongs to another user
            continue
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():  # not Linux, or no IPv6
            continue
        for line in table.read_text().splitlines()[1:]:
            # Columns: number, local address:port in hexadecimal, remote address, state, …, inode tenth (proc(5)).
            columns = line.split()
            if columns[3] == LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(columns[9])
    return inodes
