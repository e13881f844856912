"""Where webhooks may be sent: public addresses, whatever they are written as."""

from __future__ import annotations

import ipaddress

import pytest

from mitm_ai_proxy.platform import addresses
from mitm_ai_proxy.platform.addresses import NotAllowed, Receiver
from tests.tables import table

PRIVATE = """
    127.0.0.1 127.8.8.8 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 255.255.255.255 224.0.0.1
    192.0.2.1 198.18.0.1 ::1 :: fe80::1 fd00::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1
    64:ff9b::7f00:1 64:ff9b::a00:1 2002:7f00:1:: 2001:0:53aa:64c::1 2001:db8::1
    """.split()


def test_the_parts_of_a_url_are_what_is_sent() -> None:
    assert addresses.receiver("https://hooks.example:8443/a%20b?x=1") == Receiver(
        "https", "hooks.example", 8443, "hooks.example:8443", "/a%20b?x=1"
    )
    assert addresses.receiver("http://hooks.example") == Receiver("http", "hooks.example", 80, "hooks.example", "/")


@table(
    "url",
    [
        "",
        "hooks.example",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://user@hooks.example/",
        "https://user:word@hooks.example/",
        "https://hooks.example:0/",
        "https://hooks.example:99999/",
        "https://hooks.example:x/",
        "https://[::1/",
        "https://hooks.example/#part",
        "https://hooks.example/ x",
        "https://hooks.example/\r\nx",
        "https://hooks.example\\@127.0.0.1/",
        "https://h\u00f6oks.example/",
        f"https://hooks.example/{'x' * 2000}",
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(NotAllowed):
        addresses.receiver(url)


@table(
    "host",
    [
        *[f"[{address}]" if ":" in address else address for address in PRIVATE],
        *"localhost LOCALHOST localhost. api.localhost 127.1 2130706433 0x7f000001 0177.0.0.1".split(),
    ],
)
def test_a_url_into_a_private_network_is_refused_unless_it_is_allowed(host: str) -> None:
    url = f"http://{host}/hook"

    with pytest.raises(NotAllowed, match="privateReceivers"):
        addresses.check(url, allows_private=False)
    addresses.check(url, allows_private=True)


@table("host", ["hooks.example", "8.8.8.8", "[2606:4700::1111]", "localhost.example", "10.example"])
def test_a_public_url_is_taken(host: str) -> None:
    addresses.check(f"https://{host}/hook", allows_private=False)


@table("address", PRIVATE)
def test_a_name_that_stands_for_a_private_address_too_is_refused(address: str) -> None:
    found = addresses.receiver("https://hooks.example/")

    with pytest.raises(NotAllowed):
        addresses.addresses(found, lambda host, port: ["8.8.8.8", address], allows_private=False)
    assert addresses.addresses(found, lambda host, port: [address], allows_private=True) == [address]


def test_an_address_with_a_zone_is_judged_without_it() -> None:
    found = addresses.receiver("https://hooks.example/")

    with pytest.raises(NotAllowed):
        addresses.addresses(found, lambda host, port: ["fe80::1%eth0"], allows_private=False)


@table("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert addresses.is_public(ipaddress.ip_address(address))
