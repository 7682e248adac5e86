"""A proxy whose connections can also go silent, or break at the worst moment."""

import contextlib
import socket

from tests.integration.proxy import Proxy


class FaultyProxy(Proxy):
    """Cuts connections, as its base does, or strands them, or loses the answers to commits."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._stranded: frozenset[socket.socket] = frozenset()
        self._losing = False
        self._committing: set[socket.socket] = set()  # sockets whose next answer is lost
        super().__init__(target)

    def strand(self) -> None:
        """Forward nothing more on the connections there are, whose ends stay open; new ones work."""
        self._stranded |= frozenset(self._open)

    def lose_commits(self, *, lose: bool) -> None:
        """Begin or end to cut each connection when a COMMIT has gone through: nobody hears whether it did."""
        self._losing = lose

    def _connect(self) -> socket.socket:
        if not isinstance(self._target, str):
            behind = super()._connect()
            behind.settimeout(None)  # an idle connection is none that broke
            return behind
        behind = socket.socket(socket.AF_UNIX)
        try:
            behind.connect(self._target)
        except OSError:
            behind.close()
            raise
        return behind

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if source in self._stranded:
                    continue
                if source in self._committing:
                    break
                if self._losing and b"COMMIT" in data:
                    self._committing.add(sink)
                sink.sendall(data)
        if source in self._stranded:
            return
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)
            self._committing.discard(end)
