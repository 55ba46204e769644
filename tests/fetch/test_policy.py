"""What an operator allows beside the public internet, and how it is written."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.config import FetchSettings
from gateway.fetch.policy import check_addresses, check_port
from gateway.fetch.urls import UrlProblem, parse_url


def settings(*allowed: str, ports=(80, 443)) -> FetchSettings:
    return FetchSettings.model_validate({"allow_hosts": list(allowed), "ports": list(ports)})


def allows(rules: FetchSettings, url: str, *addresses: str) -> bool:
    parsed = parse_url(url)
    try:
        check_port(rules, parsed)
        check_addresses(rules, parsed, addresses)
    except UrlProblem:
        return False
    return True


def test_the_public_internet_by_default():
    assert allows(settings(), "https://a.example/", "8.8.8.8", "2606:4700::1111")
    assert not allows(settings(), "https://a.example/", "8.8.8.8", "10.0.0.1")
    assert not allows(settings(), "https://a.example/", "::ffff:127.0.0.1", "8.8.8.8")
    assert not allows(settings(), "https://a.example/")
    assert not allows(settings(), "https://a.example:8443/", "8.8.8.8")
    assert allows(settings(ports=[8443]), "https://a.example:8443/", "8.8.8.8")
    assert not allows(settings(ports=[8443]), "https://a.example/", "8.8.8.8")


@pytest.mark.parametrize(
    ("entry", "url", "address", "allowed"),
    [
        ("files.lan", "http://files.lan/", "10.0.0.5", True),
        ("Files.LAN", "http://files.lan/", "10.0.0.5", True),
        ("files.lan", "http://files.lan/", "fe80::1%eth0", False),
        ("files.lan", "http://other.lan/", "10.0.0.5", False),
        ("files.lan", "http://x.files.lan/", "10.0.0.5", False),
        ("files.lan", "http://files.lan:8080/", "10.0.0.5", False),
        ("files.lan:8080", "http://files.lan:8080/", "10.0.0.5", True),
        ("files.lan:8080", "http://files.lan/", "10.0.0.5", False),
        # The port of one host opens that port of no other, public ones included.
        ("files.lan:8080", "http://a.example:8080/", "8.8.8.8", False),
        ("files.lan:8080", "http://a.example:8080/", "10.0.0.5", False),
        ("10.0.0.5", "http://10.0.0.5/", "10.0.0.5", True),
        ("10.0.0.5", "http://any.example/", "10.0.0.5", True),
        ("10.0.0.5", "http://10.0.0.6/", "10.0.0.6", False),
        ("10.0.0.0/8", "http://a.lan/", "10.200.0.1", True),
        ("10.0.0.0/8", "http://a.lan/", "::ffff:10.200.0.1", True),
        # A network allows itself, not what a translator may make of another address.
        ("10.0.0.0/8", "http://a.lan/", "64:ff9b::10.200.0.1", False),
        ("10.0.0.0/8", "http://a.lan/", "2002:a00:1::1", False),
        ("10.0.0.5:8080", "http://10.0.0.5:8080/", "10.0.0.5", True),
        ("[::1]:8080", "http://[::1]:8080/", "::1", True),
        ("::1", "http://[::1]/", "::1", True),
        ("fd00::/8", "http://a.lan/", "fd12::1", True),
        ("fd00::/8", "http://a.lan/", "fd12::1%eth0", False),
    ],
)
def test_allowed_hosts(entry, url, address, allowed):
    assert allows(settings(entry), url, address) is allowed


@pytest.mark.parametrize(
    "entry",
    [*" http://a a/b 10.0.0.1/8 a:0 a:65536 a: *.lan 127.1 0x7f.1 [::1 a@b".split(" "), "a b", 5, None],
)
def test_entries_that_mean_nothing(entry):
    with pytest.raises(ValidationError):
        settings(entry)


def test_it_is_off_by_default():
    assert FetchSettings().enabled is False
    assert FetchSettings().allow_hosts == ()
