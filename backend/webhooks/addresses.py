"""Which addresses a webhook may call: public ones by https, and those in networks that the installation names.

Whoever may register an address could otherwise let this server call what only this server can reach: its own ports,
the hospital's network, the credentials that clouds serve at 169.254.169.254 (server-side request forgery).
"""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import cast
from urllib.parse import SplitResult, urlsplit

from backend.errors import FieldError, ValidationFailed
from backend.extensions import current
from backend.settings import Settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2000  # characters
_HTTPS = 443
_VISIBLE = re.compile(r"[!-~]+")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as the last part of a host: an IPv4 address, however it is written

# What `is_global` of this or an older Python lets through, and what carries another address in itself.
_GLOBAL_IPV6 = IPv6Network("2000::/3")  # all that is assigned; IPv4 in IPv6 (::ffff:…) and NAT64 (64:ff9b::…) are not
_SPECIAL: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments, RFC 6890; also the metadata service of Oracle's cloud
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, RFC 7526
    IPv4Network("168.63.129.16/32"),  # the metadata service of Azure
    IPv6Network("2001::/23"),  # protocol assignments, RFC 2928; also Teredo
    IPv6Network("2002::/16"),  # 6to4, RFC 3056
    IPv6Network("3fff::/20"),  # documentation, RFC 9637
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and as whom: the address is the one that was checked, and no name is looked up after that."""

    address: str
    port: int
    tls: bool
    host: str
    host_header: str
    path: str  # with its query


def check_url(url: str, *, field: str) -> None:
    """See that a webhook may call `url`, as its name resolves at this moment.

    Raises:
        ValidationFailed: it may not; the reason is that of `field`.
    """
    find_target(url, networks=current_networks(), field=field)


def current_networks() -> tuple[Network, ...]:
    """Return the networks that webhooks may call although they are private."""
    return cast("Settings", current("settings")).webhook_networks


def find_target(url: str, *, networks: Sequence[Network], field: str = "url") -> Target:
    """Resolve `url` once and return where to connect.

    Raises:
        ValidationFailed: the URL is not one we call, or one of its addresses is neither public nor in `networks`.
    """
    try:
        return _target(url, networks)
    except ValueError as error:
        raise ValidationFailed((FieldError(field, str(error)),)) from None


def is_public(address: Address) -> bool:
    """Whether an address belongs to one machine on the internet, and carries no other address in itself."""
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _SPECIAL)


def _target(url: str, networks: Sequence[Network]) -> Target:
    parts, host = _read(url)
    tls = parts.scheme == "https"
    port = parts.port or (_HTTPS if tls else 80)
    addresses = _resolve(host, port)
    listed = [any(address in network for network in networks) for address in addresses]
    if not all(known or is_public(address) for known, address in zip(listed, addresses, strict=True)):
        raise ValueError(f"{host} has a private or reserved address; SANGUINE_WEBHOOK_NETWORKS can name its network")
    if not all(listed) and not (tls and port == _HTTPS):
        raise ValueError("must be https on port 443, except in the networks of SANGUINE_WEBHOOK_NETWORKS")
    return Target(
        address=str(addresses[0]),
        port=port,
        tls=tls,
        host=host,
        host_header=parts.netloc,
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def _read(url: str) -> tuple[SplitResult, str]:
    """Return the parts of a URL and its host; strict, so that nobody else reads another host in it than we do."""
    if len(url) > LONGEST_URL or not _VISIBLE.fullmatch(url) or "\\" in url:
        raise ValueError(f"must have up to {LONGEST_URL:,} visible ASCII characters, without a backslash")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("https", "http"):
        raise ValueError("must be an https URL")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or a password")
    if "#" in url:
        raise ValueError("must not hold a fragment (#)")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("the port is none")
    if not _is_host(host, bracketed="[" in parts.netloc):
        raise ValueError("the host is neither a name nor an address in its usual notation")
    return parts, host


def _is_host(host: str, *, bracketed: bool) -> bool:
    if bracketed or _NUMBER.fullmatch(host.rsplit(".", 1)[-1]):
        try:
            # Octal, decimal and hexadecimal ones are none, and a zone (%eth0) is a matter of this machine.
            return ip_address(host).version == (6 if bracketed else 4) and "%" not in host
        except ValueError:
            return False
    return _NAME.fullmatch(host) is not None


def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise ValueError(f"{host} does not resolve to an address") from None
    return [ip_address(address) for _, _, _, _, (address, *_) in found]
