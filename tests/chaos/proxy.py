"""A proxy whose connections can also go silent, as those through a firewall that forgot them."""

import contextlib
import socket

from tests.integration.proxy import Proxy


class FaultyProxy(Proxy):
    """Cuts connections, as its base does, or strands them: both ends stay open and hear nothing more."""

    _stranded: frozenset[socket.socket] = frozenset()

    def strand(self) -> None:
        """Forward nothing more on the connections there are; new ones work."""
        self._stranded |= frozenset(self._open)

    def drop(self) -> None:
        """Close every connection at once, answers on their way included; new ones work."""
        self.cut()
        self.mend()

    def _connect(self) -> socket.socket:
        behind = super()._connect()
        behind.settimeout(None)  # an idle connection is none that broke
        return behind

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if source not in self._stranded:
                    sink.sendall(data)
        if source in self._stranded:
            return
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)
