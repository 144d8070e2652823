"""
Addresses: which of them may be read on behalf of somebody else.

A shop that reads what people name must not be made to read its own network for them. So only what
the whole Internet can reach is read, by these rules and not by lists of bad names:

- IPv4: what the IANA registry calls globally reachable, and no multicast.
- IPv6: global unicast (2000::/3) without the blocks set aside in it. Forms that carry an IPv4
  address count as that address (mapped, and NAT64, by which IPv6-only networks reach everybody) or
  are refused (6to4, Teredo, IPv4-compatible: given up by RFC 7526, RFC 8190, RFC 4291).

Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 6052 for 64:ff9b::/96.
"""

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

HostPort = tuple[str, int]
"""A host in lower case as it is sent, and its port."""

_SCHEME_PORTS = {"http": 80, "https": 443}

_NOT_GLOBAL_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: clouds tell their secrets there
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NOT_GLOBAL_V6 = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64 = IPv6Network("64:ff9b::/96")
_LAST_LABEL_IS_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)", re.IGNORECASE | re.ASCII)
_LOCAL_NAMES = ("localhost", "local", "internal", "localdomain", "home.arpa")


def is_public_ip(text: str) -> bool:
    """Whether this is an IP address that the whole Internet can reach."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return _is_public(address)


def may_be_public(host: str) -> bool:
    """
    Whether a host of an address may be asked for: a public IP address, or a name, whose IP
    addresses are looked at (`is_public_ip`) once they are known.

    The host is as it is sent, in ASCII. An IP address spelled other than usual (`127.1`, `0x7f.1`,
    `017700000001`, `2130706433`) is refused, because everybody reads it differently.
    """
    name = host.strip("[]").lower().removesuffix(".")
    if not name or not name.isascii():
        return False
    if ":" in name:
        return is_public_ip(name)
    if _LAST_LABEL_IS_NUMBER.fullmatch(name):
        return is_public_ip(name)
    return not any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES)


def host_port(url: str) -> HostPort | None:
    """Host and port of an http(s) address without a login, None where it is no such address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _SCHEME_PORTS or not host or "@" in parts.netloc or port == 0:
        return None
    return host, _SCHEME_PORTS[parts.scheme] if port is None else port


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_GLOBAL_V4)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_V6 and not any(address in network for network in _NOT_GLOBAL_V6)
