"""Only what the whole Internet can reach is read for others."""

import pytest

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
