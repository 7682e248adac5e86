"""One POST to a checked address, on real sockets."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from backend.errors import Unavailable
from backend.webhooks.addresses import Target, find_target
from backend.webhooks.client import post
from tests.unit.webhooks.receiver import Names, Receiver, receiving

LOOPBACK = (IPv4Network("127.0.0.0/8"),)


def target(url: str) -> Target:
    return find_target(url, networks=LOOPBACK)


@contextmanager
def serving(act: Callable[[socket.socket], None]) -> Iterator[Target]:
    """A server that does with its one connection what the test says, until it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                with suppress(OSError):  # the client has left
                    act(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield target(f"http://127.0.0.1:{server.getsockname()[1]}/hook?token=secret")
        thread.join(timeout=10)
        assert not thread.is_alive()


def read_request(connection: socket.socket) -> None:
    content = b""
    while not content.endswith(b"{}"):
        received = connection.recv(65_536)
        assert received
        content += received


def test_the_body_is_posted_as_it_is_with_its_headers(receiver: Receiver):
    assert post(target(receiver.url()), b'{"a": 1}', {"webhook-id": "1"}) == 200
    (received,) = receiver.received
    assert (received.path, received.body) == ("/hook?token=secret", b'{"a": 1}')
    assert received.headers["webhook-id"] == "1"
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert "Cookie" not in received.headers


@pytest.mark.parametrize("status", [204, 404, 410, 429, 500, 503])
def test_whatever_status_is_answered_is_returned(status):
    with receiving(status) as receiver:
        assert post(target(receiver.url()), b"{}", {}) == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver, status):
    for location in ("http://169.254.169.254/latest/meta-data/", receiver.url("/elsewhere")):
        with receiving(status, headers={"Location": location}) as redirecting:
            assert post(target(redirecting.url()), b"{}", {}) == status
            assert len(redirecting.received) == 1
    assert receiver.received == []


def test_the_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert post(target(receiver.url()), b"{}", {}) == 200


def test_no_name_is_looked_up_after_the_check(receiver: Receiver, names: Names):
    names.known["hooks.example.org"] = ["127.0.0.1"]
    checked = target(receiver.url(host="hooks.example.org"))
    names.known["hooks.example.org"] = ["127.0.0.2"]
    assert post(checked, b"{}", {}) == 200
    assert names.asked.count("hooks.example.org") == 1
    assert receiver.received[0].headers["Host"] == f"hooks.example.org:{receiver.port}"


def test_nobody_there_is_unavailable_and_the_message_says_no_path():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1 refuses connections or cannot be reached$"):
        post(target(f"http://127.0.0.1:{port}/hook?token=secret"), b"{}", {})


def drip(connection: socket.socket) -> None:
    """Send a header for ever, so slowly that no read times out."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        connection.sendall(b"a")
        time.sleep(0.02)


def drip_body(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        connection.sendall(b"a")
        time.sleep(0.02)


def say_nothing(connection: socket.socket) -> None:
    read_request(connection)
    connection.recv(1)  # until the client leaves


@pytest.mark.parametrize("act", [drip, drip_body, say_nothing])
def test_a_slow_answer_is_cut_off(act):
    with serving(act) as slow:
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"^127\.0\.0\.1 did not answer in time$"):
            post(slow, b"{}", {}, total=0.3)
        assert time.monotonic() - started < 5


def test_of_an_endless_answer_only_the_beginning_is_read():
    def pour(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(65_536 * b"a")

    with serving(pour) as endless:
        assert post(endless, b"{}", {}) == 200


@pytest.mark.parametrize("answer", [b"", b"no HTTP\r\n\r\n"])
def test_what_is_no_answer_is_unavailable(answer):
    def act(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    with serving(act) as broken, pytest.raises(Unavailable, match="broke the connection"):
        post(broken, b"{}", {})


def certificate(folder: Path, name: str, *, days: int = 1) -> tuple[Path, ssl.SSLContext]:
    """A certificate for `name` that signs itself, and a server's context that presents it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = folder / f"{name}.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


def test_tls_is_for_the_name_though_the_connection_is_to_the_checked_address(
    tmp_path: Path, names: Names, monkeypatch: pytest.MonkeyPatch
):
    path, context = certificate(tmp_path, "hooks.example.org")
    told = []
    context.sni_callback = lambda _socket, name, _context: told.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    names.known["hooks.example.org"] = ["127.0.0.1"]
    with receiving(tls=context) as receiver:
        url = receiver.url(host="hooks.example.org", scheme="https")
        assert post(target(url), b"{}", {}) == 200
    assert told == ["hooks.example.org"]


@pytest.mark.parametrize(
    ("presented", "reason"),
    [
        ({"name": "other.example.org", "days": 1, "trusted": True}, "Hostname mismatch"),
        ({"name": "hooks.example.org", "days": -1, "trusted": True}, "expired"),
        ({"name": "hooks.example.org", "days": 1, "trusted": False}, "self-signed"),
    ],
)
def test_a_certificate_that_cannot_be_trusted_is_not(
    tmp_path: Path, names: Names, monkeypatch: pytest.MonkeyPatch, presented, reason
):
    path, context = certificate(tmp_path, presented["name"], days=presented["days"])
    if presented["trusted"]:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    names.known["hooks.example.org"] = ["127.0.0.1"]
    with receiving(tls=context) as receiver:
        url = receiver.url(host="hooks.example.org", scheme="https")
        with pytest.raises(Unavailable, match=f"certificate that cannot be trusted: .*{reason}"):
            post(target(url), b"{}", {})
    assert receiver.received == []
