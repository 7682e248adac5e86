"""Which addresses a webhook may call: nothing that only this machine can reach, however it is written."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backend.errors import ValidationFailed
from backend.webhooks.addresses import find_target, is_public
from tests.unit.webhooks.receiver import Names

PUBLIC, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"
PRIVATE_NETWORKS = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4"),
    *("240.0.0.0/4", "168.63.129.16/32"),
]
PRIVATE_NETWORKS_6 = [
    "::/16",
    "64:ff9b::/96",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
]

private = st.sampled_from(PRIVATE_NETWORKS).flatmap(lambda network: st.ip_addresses(network=network))
private_6 = st.sampled_from(PRIVATE_NETWORKS_6).flatmap(lambda network: st.ip_addresses(network=network))
per_example = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def notations(address: IPv4Address) -> list[str]:
    """Every way to write an IPv4 address that some resolver or network stack takes for it."""
    number, (a, b, c, d) = int(address), address.packed
    in_ipv6 = {
        "mapped": IPv6Address(0xFFFF << 32 | number),
        "compatible": IPv6Address(number),
        "nat64": IPv6Address(0x0064FF9B << 96 | number),
        "6to4": IPv6Address(0x2002 << 112 | number << 80 | 1),
        "teredo": IPv6Address(0x20010000 << 96 | ~number & 0xFFFFFFFF),
    }
    return [
        str(address),
        str(number),
        hex(number),
        oct(number).replace("o", ""),
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"{a:03}.{b:03}.{c:03}.{d:03}",
        f"{address}.",
        *(f"[{one}]" for one in in_ipv6.values()),
        *(f"[{one.exploded}]" for one in in_ipv6.values()),
        f"[::ffff:{address}]",
    ]


def refusal(url: str, *, networks=()) -> str:
    with pytest.raises(ValidationFailed) as refused:
        find_target(url, networks=networks)
    (field,) = refused.value.fields
    assert field.field == "url"
    return field.reason


@given(private)
@example(IPv4Address("169.254.169.254"))
@example(IPv4Address("127.0.0.1"))
def test_no_private_address_is_called_in_any_notation(address):
    for host in notations(address):
        for scheme in ("https", "http"):
            refusal(f"{scheme}://{host}/")


@given(private_6)
@example(IPv6Address("::1"))
@example(IPv6Address("fd00:ec2::254"))
def test_no_private_ipv6_address_is_called(address):
    assert not is_public(address)
    refusal(f"https://[{address}]/")


@per_example
@given(st.one_of(private, private_6))
def test_no_name_of_a_private_address_is_called(names: Names, address):
    names.known["hooks.example.org"] = [str(address)]
    assert "private or reserved" in refusal("https://hooks.example.org/")


@per_example
@given(st.lists(st.one_of(private, private_6), min_size=1, max_size=3), st.randoms())
def test_one_private_address_among_public_ones_is_one_too_many(names: Names, addresses, random):
    mixed = [PUBLIC, PUBLIC_6, *map(str, addresses)]
    random.shuffle(mixed)
    names.known["hooks.example.org"] = mixed
    assert "private or reserved" in refusal("https://hooks.example.org/")


@given(st.sampled_from([*PRIVATE_NETWORKS[:7], "fc00::/7"]), st.data())
def test_a_network_of_the_installation_is_called_on_any_port_and_nothing_beside_it(network, data):
    networks = (IPv6Network(network) if ":" in network else IPv4Network(network),)
    inside = data.draw(st.ip_addresses(network=network))
    host = f"[{inside}]" if inside.version == 6 else str(inside)
    target = find_target(f"http://{host}:8080/hook", networks=networks)
    assert (target.address, target.port, target.tls) == (str(inside), 8080, False)
    outside = data.draw(private.filter(lambda address: address not in networks[0]))
    refusal(f"http://{outside}:8080/hook", networks=networks)


def test_the_target_is_the_address_that_was_checked_under_the_name_that_was_given(names: Names):
    names.known["hooks.example.org"] = [PUBLIC, PUBLIC_6]
    target = find_target("https://Hooks.Example.org/a/b?token=1&x=%20", networks=())
    assert (target.address, target.port, target.tls) == (PUBLIC, 443, True)
    assert (target.host, target.host_header, target.path) == (
        "hooks.example.org",
        "Hooks.Example.org",
        "/a/b?token=1&x=%20",
    )
    assert names.asked == ["hooks.example.org"]


@pytest.mark.parametrize("address", [PUBLIC, PUBLIC_6, "1.1.1.1", "2a00:1450:4001:81b::200e"])
def test_public_addresses_are_public(address):
    assert is_public(ip_address(address))


def test_port_443_may_be_said(names: Names):
    names.known["hooks.example.org"] = [PUBLIC]
    assert find_target("https://hooks.example.org:443", networks=()).path == "/"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "private or reserved"),
        ("https://localhost/", "private or reserved"),
        ("https://nowhere.example.org/", "does not resolve"),
        ("http://hooks.example.org/", "https on port 443"),
        ("https://hooks.example.org:8443/", "https on port 443"),
        ("ftp://hooks.example.org/", "https URL"),
        ("file:///etc/passwd", "https URL"),
        ("hooks.example.org", "https URL"),
        ("//hooks.example.org/", "https URL"),
        ("https://", "neither a name nor an address"),
        ("https:///path", "neither a name nor an address"),
        ("https://hooks.example.org@169.254.169.254/", "user name"),
        ("https://hooks.example.org:443@169.254.169.254/", "user name"),
        ("https://user:password@hooks.example.org/", "user name"),
        ("https://@hooks.example.org/", "user name"),
        ("https://169.254.169.254\\@hooks.example.org/", "backslash"),
        ("https://hooks.example.org\\.evil.org/", "backslash"),
        ("https://hooks.example.org/#@evil.org/", "fragment"),
        ("https://hooks.example.org#", "fragment"),
        ("https://hooks.example.org/a b", "visible ASCII"),
        ("https://hooks.example.org/\r\nX-Injected: 1", "visible ASCII"),
        ("https://hooks.ex\u00e4mple.org/", "visible ASCII"),
        ("https://\uff11\uff12\uff17.0.0.1/", "visible ASCII"),
        ("", "visible ASCII"),
        ("https://hooks.example.org/" + 2000 * "a", "2,000"),
        ("https://hooks.example.org:0/", "port"),
        ("https://hooks.example.org:/", "port"),
        ("https://hooks.example.org:99999/", "not a URL"),
        ("https://hooks.example.org:443x/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("https://[fe80::1%25eth0]/", "neither a name nor an address"),
        ("https://hooks..example.org/", "neither a name nor an address"),
        ("https://hooks.example.org./", "neither a name nor an address"),
        ("https://%68ooks.example.org/", "neither a name nor an address"),
        ("https://1.1.1.1.1/", "neither a name nor an address"),
        ("https://134744072/", "neither a name nor an address"),  # 8.8.8.8, which is public
    ],
)
def test_what_is_refused_says_why(names: Names, url, reason):
    names.known["hooks.example.org"] = [PUBLIC]
    names.known["localhost"] = ["127.0.0.1", "::1"]
    assert reason in refusal(url)


def test_a_refusal_does_not_tell_what_a_name_resolves_to(names: Names):
    names.known["db.hospital.internal"] = ["10.11.12.13"]
    assert "10.11" not in refusal("https://db.hospital.internal/")
