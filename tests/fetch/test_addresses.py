"""Which addresses are public: one row for each way in that was found elsewhere, and for each special network."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fetch import is_public

PUBLIC = """
8.8.8.8 1.1.1.1 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.1 192.167.255.255 192.169.0.1 198.17.255.255
198.20.0.0 203.0.112.255 223.255.255.255 9.255.255.255 11.0.0.0 126.255.255.255 128.0.0.1 169.253.255.255 168.63.129.15
2606:4700:4700::1111 2a00:1450:4001:812::200e 2001:4860:4860::8888 2001:200::1 3ffe:ffff::1
::ffff:8.8.8.8 ::ffff:808:808 64:ff9b::8.8.8.8 2002:808:808::1 2606:4700::5efe:8.8.8.8 2606:4700::200:5efe:808:808
""".split()

NOT_PUBLIC = {
    "this network": "0.0.0.0 0.0.0.1 0.255.255.255",
    "loopback": "127.0.0.1 127.1.2.3 127.255.255.255 ::1 0:0:0:0:0:0:0:1",
    "private": "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255",
    "shared": "100.64.0.0 100.127.255.255 100.100.100.200",
    "link-local": "169.254.0.0 169.254.169.254 169.254.170.2 169.254.255.255 fe80::1 febf::1",
    "metadata": "168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254",
    "documentation": "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1",
    "benchmarking": "198.18.0.0 198.19.255.255 2001:2::1",
    "protocol": "192.0.0.1 192.88.99.1 2001::1 2001:1::1 2001:10::1 2001:20::1",
    "multicast": "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
    "reserved": "240.0.0.1 255.255.255.255 4000::1 5f00::1 e000::1 100::1 200::1",
    "unspecified": ":: 0:0:0:0:0:0:0:0",
    "unique local": "fc00::1 fdff::1",
    "site-local": "fec0::1 feff::1",
    "IPv4-mapped": "::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:0.0.0.0 ::ffff:169.254.169.254",
    "IPv4-mapped multicast": "::ffff:224.0.0.1",
    "IPv4-compatible": "::127.0.0.1 ::10.0.0.1 ::8.8.8.8",
    "IPv4-translated": "::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8",
    "NAT64": "64:ff9b::7f00:1 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b::0.0.0.0",
    "local NAT64": "64:ff9b:1::7f00:1 64:ff9b:1::10.0.0.1 64:ff9b:1:7f00:0:100:: 64:ff9b:1:ffff::8.8.8.8",
    "6to4": "2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe:: 2002:c0a8:101::1 2002:0:0::1 2002:e000:1::",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:7f00:1::1 2001:0:808:808:0:0:f7f7:f7f7",
    "ISATAP": "2606:4700::5efe:127.0.0.1 2606:4700::200:5efe:10.0.0.1 2002:808:808::5efe:192.168.0.1",
    "link-local ISATAP": "fe80::5efe:8.8.8.8",
    "zone": "fe80::1%eth0 2606:4700:4700::1111%1 ::1%lo",
    "no address": "localhost 127.1 0x7f.1 2130706433 0177.0.0.1 1.2.3 1.2.3.4.5 [::1] 8.8.8.8/32 8.8.8.8:80 256.1.1.1",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address):
    assert is_public(address)


@pytest.mark.parametrize(("kind", "address"), [(kind, a) for kind, row in NOT_PUBLIC.items() for a in row.split()])
def test_not_public(kind, address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "text", ["", " ", "8.8.8.8 ", " 8.8.8.8", "8.8.8.8\n", "\u0668.8.8.8", "\uff18.8.8.8", "8.8.8.8\0"]
)
def test_untidy_text_is_no_address(text):
    assert not is_public(text)


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}", "2606:4700::5efe:{}", "2002:{hex}::1"]))
def test_an_embedded_address_is_judged_as_itself(inner, form):
    bits = f"{int(inner):08x}"
    assert is_public(form.format(inner, hex=f"{bits[:4]}:{bits[4:]}")) == is_public(str(inner))


@given(st.ip_addresses())
def test_never_more_than_python_calls_global(address):
    """Except for what stands for another address, which Python does not see, or (6to4, in older ones) calls private."""
    if is_public(str(address)) and address not in ipaddress.ip_network("2002::/16"):
        special = ("private", "multicast", "loopback", "unspecified", "link_local")
        assert not any(getattr(address, f"is_{kind}") for kind in special)


@given(st.sampled_from("10.0.0.0/8 127.0.0.0/8 169.254.0.0/16 fc00::/7 fe80::/10".split()), st.data())
def test_nothing_in_a_private_network(network, data):
    net = ipaddress.ip_network(network)
    assert not is_public(str(data.draw(st.ip_addresses(network=net))))
