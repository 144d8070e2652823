"""Only what the whole Internet can reach is read for others."""

import socket
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiebot.core.addresses import is_public_ip, may_be_public


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.15.255.255",
        "172.32.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "2606:4700:4700::1111",
        "2a00:1450:4010:c0f::71",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_what_everybody_reaches_is_public(address: str) -> None:
    assert is_public_ip(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:7f00:1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "100::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700:4700::1111%eth0",
        "fec0::1",
        "ff02::1",
        "not an address",
        "",
    ],
)
def test_what_is_inside_somebodys_network_is_not(address: str) -> None:
    assert not is_public_ip(address)


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "EXAMPLE.org.",
        "xn--e1afmkfd.xn--p1ai",
        "localhost.example.org",
        "mylocal",
        "8.8.8.8",
        "1e100.net",
        "0x7f.example",
        "[2606:4700:4700::1111]",
        "2606:4700:4700::1111",
    ],
)
def test_a_name_may_be_public(host: str) -> None:
    assert may_be_public(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "x.localhost",
        "printer.local",
        "metadata.google.internal",
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "0",
        "0.0.0.0",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.0.0.1",
        "0X7F.1",
        "127.0.0.0x1",
        "0x",
        "08.8.8.8",
        "[::1]",
        "::1",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
        "１２７.0.0.1",
        "ⓛocalhost",
    ],
)
def test_every_spelling_of_ones_own_machine_is_refused(host: str) -> None:
    assert not may_be_public(host)


PRIVATE = st.one_of(
    st.integers(0x7F000000, 0x7FFFFFFF),
    st.integers(0x0A000000, 0x0AFFFFFF),
    st.integers(0xA9FE0000, 0xA9FEFFFF),
    st.integers(0xAC100000, 0xAC1FFFFF),
    st.integers(0xC0A80000, 0xC0A8FFFF),
    st.integers(0, 0x00FFFFFF),
)
BASES = st.sampled_from(["{:d}", "0{:o}", "0x{:x}", "0X{:X}", "000{:o}", "0x00{:x}"])


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """A private IPv4 address in one to four parts, each in a base of its own."""
    number = draw(PRIVATE)
    parts = draw(st.integers(1, 4))
    leading = [(number >> (24 - 8 * at)) & 0xFF for at in range(parts - 1)]
    numbers = [*leading, number & ((1 << (8 * (5 - parts))) - 1)]
    host = ".".join(draw(BASES).format(part) for part in numbers)
    return host + draw(st.sampled_from(["", "."]))


@settings(max_examples=200)
@given(spellings())
def test_no_spelling_of_a_private_address_is_public(host: str) -> None:
    """Whatever a resolver would make of it: parts, bases, a dot at the end."""
    assert not may_be_public(host)


@settings(max_examples=200)
@given(PRIVATE)
def test_no_ipv6_form_of_a_private_address_is_public(number: int) -> None:
    """Mapped, compatible, NAT64, 6to4."""
    high, low = number >> 16, number & 0xFFFF

    for form in ("::ffff:{:x}:{:x}", "::{:x}:{:x}", "64:ff9b::{:x}:{:x}", "2002:{:x}:{:x}::"):
        host = form.format(high, low)
        assert not is_public_ip(host)
        assert not may_be_public(f"[{host}]")


@settings(max_examples=300)
@given(st.text(alphabet="0123456789abcdefxX.", max_size=20))
def test_what_the_system_reads_as_a_number_is_public_only_as_everybody_writes_it(host: str) -> None:
    """The judge is the C library, which reads more than anybody should write."""
    read = None
    with suppress(OSError):
        read = socket.inet_ntoa(socket.inet_aton(host))

    if read is not None and may_be_public(host):
        assert host.removesuffix(".") == read
        assert is_public_ip(read)
