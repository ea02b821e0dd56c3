"""Where others may send this house: to public addresses, resolved once and connected to as they were checked."""

import asyncio
import socket
import threading
from ipaddress import ip_address

import pytest

from chassis import addresses
from chassis.addresses import NotPublic
from tests.patience import PATIENCE


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "192.0.0.192",
        "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "203.0.113.7", "::1", "::", "::ffff:10.0.0.1",
        "64:ff9b::a00:1", "64:ff9b:1::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "2001::1", "2002:a00:1::1",
    ],
)  # fmt: skip
def test_an_address_that_could_lead_inside_is_not_public(address):
    assert not addresses.is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "193.0.14.129", "2600::1", "2a00:1450:4001::1"])
def test_a_routed_address_is_public(address):
    assert addresses.is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x", "https://hooks.example:8443/x", "https://user:pass@hooks.example/", "https:///x",
        "https://hooks.example/x#part", "http://127.0.0.1:5000/hook", "https://hooks.example:99999/", "https://[::1",
        "https://hooks..example/", f"https://{'a' * 64}.example/", "https://häst.example/", "https://127。0。0。1/",
    ],
)  # fmt: skip
def test_what_is_asked_for_is_a_public_https_address_on_port_443(url):
    with pytest.raises(NotPublic):
        addresses.check_shape(url, loopback=False)
    addresses.check_shape("https://hooks.example/x", loopback=False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "0x7f.1", "2130706433"])
async def test_a_name_that_resolves_inside_is_refused(host):
    with pytest.raises((NotPublic, OSError)):
        await addresses.resolve(f"https://{host}/hook", loopback=False)


async def test_a_name_whose_servers_never_answer_is_waited_for_no_longer_than_that(monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: ended.wait())
    monkeypatch.setattr(addresses, "_PATIENCE", 0.05, raising=False)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PATIENCE) as waiting:
                await addresses.resolve("https://hooks.example/x", loopback=False)
        assert not waiting.expired()
    finally:
        ended.set()


async def test_names_whose_servers_never_answer_hold_up_no_other_name(monkeypatch):
    ended = threading.Event()

    def found(host, port, **how):
        if host != "quick.example":
            ended.wait()
            raise OSError
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    silent = [asyncio.create_task(addresses.resolve(f"https://silent{each}.example/", False)) for each in range(40)]
    try:
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            assert (await addresses.resolve("https://quick.example/", False)).url == "https://93.184.216.34:443/"
    finally:
        ended.set()
        await asyncio.gather(*silent, return_exceptions=True)


async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(monkeypatch):
    answers = iter([["93.184.216.34"], ["10.0.0.1"]])

    def rebind(*_args, **_kwargs):
        return [(2, 1, 6, "", (address, 443)) for address in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", rebind)
    target = await addresses.resolve("https://hooks.example/x?y=1", loopback=False)
    assert (target.url, target.host) == ("https://93.184.216.34:443/x?y=1", "hooks.example")
    with pytest.raises(NotPublic):
        await addresses.resolve("https://hooks.example/x", loopback=False)


@pytest.mark.parametrize(
    ("host", "name"), [("hooks.example", "hooks.example"), ("a.example:443", "a.example"), ("[2600::1]:443", "2600::1")]
)
def test_a_certificate_is_asked_for_by_the_name_alone(host: str, name: str):
    assert addresses.Target("https://93.184.216.34/", host).name == name
