"""A TCP proxy that tests can cut (what is behind it seems to be down) or freeze (open connections go silent)."""

import contextlib
import socket
import threading
from typing import Self


class Proxy:
    """Forwards a port of this machine to a TCP port or a Unix socket until it is cut."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self._open: set[socket.socket] = set()
        self._frozen: set[socket.socket] = set()
        self._up = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        self._up = False
        for connection in list(self._open):
            _close(connection)

    def freeze(self) -> None:
        """Forward nothing more on the connections that are open, and close none of them; new ones work."""
        self._frozen |= self._open

    def mend(self) -> None:
        """Forward again."""
        self._up = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        _close(self._listener)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self._up:
                    _close(client)
                    continue
                try:
                    behind = self._connect()
                except OSError:
                    _close(client)
                    continue
                self._open |= {client, behind}
                for source, sink in ((client, behind), (behind, client)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self._target, str):
            behind = socket.socket(socket.AF_UNIX)
            behind.connect(self._target)
            return behind
        behind = socket.create_connection(self._target, timeout=5)
        behind.settimeout(None)  # a connection may be silent for long
        return behind

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if source not in self._frozen:
                    sink.sendall(data)
        for end in (source, sink):
            _close(end)
            self._open.discard(end)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
