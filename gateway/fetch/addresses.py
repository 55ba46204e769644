"""Which IP addresses are on the public internet. Pure.

The rule for IPv4 is a list of what is not (IANA's IPv4 Special-Purpose Address Registry, RFC 6890), for IPv6 the one
block that is (2000::/3, RFC 4291) minus what is special in it (IANA's IPv6 registry). `ipaddress.is_global` alone will
not do: it calls 224.0.0.1, 64:ff9b::7f00:1 and 2002:7f00:1:: global.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this network"; 0.0.0.0 reaches the machine itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' shared space; metadata of one cloud
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # metadata and agent of one cloud, on an address that looks public
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; metadata of one cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, given up
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo (a tunnel to behind a NAT), benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)

# 64:ff9b:1::/48 is not here: it is for local use (RFC 8215), so what it translates to is nobody's but the network's.
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_32_BITS = 0xFFFFFFFF


def is_public(address: str) -> bool:
    """Whether `address` (IPv4 dotted decimal or IPv6, without brackets) may be connected to on behalf of a stranger.

    An IPv6 address that stands for an IPv4 address (IPv4-mapped, NAT64, 6to4, ISATAP) is judged as what it stands for
    too. Anything else than an address, and an address with a zone (`fe80::1%eth0`), is not public.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return _is_public_4(parsed) if isinstance(parsed, IPv4Address) else _is_public_6(parsed)


def _is_public_4(address: IPv4Address) -> bool:
    return address.is_global and not any(address in network for network in _NOT_PUBLIC_4)


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public_4(address.ipv4_mapped)
    bits = int(address)
    last = IPv4Address(bits & _32_BITS)
    if address in _NAT64:
        return _is_public_4(last)
    # ISATAP (RFC 5214): the interface identifier is 0000:5efe or 0200:5efe and an IPv4 address, under any prefix.
    if (bits >> 32) & 0xFCFFFFFF == 0x00005EFE and not _is_public_4(last):
        return False
    if address in _SIX_TO_FOUR:
        return _is_public_4(IPv4Address((bits >> 80) & _32_BITS))
    return address in _UNICAST_6 and address.is_global and not any(address in network for network in _NOT_PUBLIC_6)
