"""Where this house may be sent by others: a public address, resolved once, checked, and then connected to as checked.

Python's `is_global` lets some special addresses pass (192.0.0.192, 64:ff9b:1::/48), so the table is our own (IANA's special-purpose
registries): every address a name resolves to must be clean, or a second answer could lead inside.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

_NOT_PUBLIC_4 = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    )
)  # fmt: skip
# Only global unicast is routed; of it these are not: IETF's own (Teredo, ORCHID, …), documentation, 6to4.
_PUBLIC_6 = ip_network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    ip_network(n) for n in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_PATIENCE = 10  # seconds
# A look-up cannot be given up, and holds its thread for as long as the name's servers are silent: of the loop's own few, some such
# names would hold all.
_NAMES = ThreadPoolExecutor(200, "names")


class NotPublic(ValueError):
    """It leads, or may lead, inside."""


@dataclass(frozen=True)
class Target:
    """url: with the checked address in place of the name · host: the name, for TLS and the Host header."""

    url: str
    host: str

    @property
    def name(self) -> str:
        return urlsplit(f"//{self.host}").hostname or ""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def check_shape(url: str, loopback: bool) -> None:
    """What can be seen without resolving. Raises NotPublic. `loopback`: development, where receivers live on this machine."""
    try:
        parts = urlsplit(url)
        port = parts.port
        # As is done to resolve it: with a label too long or empty it is no name.
        (parts.hostname or "").encode("idna")
    except ValueError:
        raise NotPublic from None
    if not parts.netloc.isascii() or not parts.hostname or parts.username or parts.password or parts.fragment:
        raise NotPublic
    if loopback and parts.hostname in ("127.0.0.1", "::1"):
        return
    if parts.scheme != "https" or port not in (None, 443):
        raise NotPublic


async def resolve(url: str, loopback: bool) -> Target:
    """The one address to connect to. Raises NotPublic when any address of the name is not public, OSError when it has none."""
    check_shape(url, loopback)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    async with asyncio.timeout(_PATIENCE):  # whoever owns the name says how long its servers take
        found = await asyncio.get_running_loop().run_in_executor(_NAMES, _look_up, host, port)
    addresses = [ip_address(entry[4][0]) for entry in found]
    for address in addresses:
        if not is_public(address) and not (loopback and address.is_loopback):
            raise NotPublic
    chosen = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])
    return Target(parts._replace(netloc=f"{chosen}:{port}").geturl(), parts.netloc)


def _look_up(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
