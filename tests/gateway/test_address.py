"""Whose bucket a caller without a token empties: her own address, or what the one named proxy says of it."""

from ipaddress import ip_network
from typing import Any

import pytest

from gateway.address import address_of

PROXY = ip_network("10.1.0.0/16")


def scope(peer: str | None, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", said.encode()) for said in forwarded]
    return {"client": (peer, 1) if peer else None, "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxy", "address"),
    [
        ("203.0.113.5", (), None, "203.0.113.5"),
        ("203.0.113.5", ("198.51.100.1",), None, "203.0.113.5"),
        ("203.0.113.5", ("198.51.100.1",), PROXY, "203.0.113.5"),
        ("10.1.2.3", ("198.51.100.1",), PROXY, "198.51.100.1"),
        ("10.1.2.3", ("192.0.2.66, 198.51.100.1",), PROXY, "198.51.100.1"),
        ("10.1.2.3", ("192.0.2.66", "198.51.100.1"), PROXY, "198.51.100.1"),
        ("10.1.2.3", ("anything",), PROXY, "10.1.2.3"),
        ("10.1.2.3", (), PROXY, "10.1.2.3"),
        ("10.1.2.3", ("2001:db8:1:2:3::4",), PROXY, "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", (), None, "203.0.113.5"),
        ("::ffff:10.1.2.3", ("::ffff:198.51.100.1",), PROXY, "198.51.100.1"),
        (None, ("198.51.100.1",), PROXY, ""),
    ],
    ids=[
        "direct",
        "said by herself",
        "not the proxy",
        "proxy",
        "spoofed before",
        "twice",
        "rubbish",
        "none",
        "v6",
        "v4 where both are heard",
        "proxy where both are heard",
        "no peer",
    ],
)
def test_only_the_named_proxy_s_own_word_counts(peer: str | None, forwarded: tuple, proxy: Any, address: str):
    assert address_of(scope(peer, *forwarded), proxy) == address
