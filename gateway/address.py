"""From where a caller without a token comes: the peer's address, or what one named proxy says of it.

Only the last entry of X-Forwarded-For is believed, since that is the one the proxy itself wrote; and only from a peer inside
TRUSTED_PROXY, since anybody else writes what she likes there. An IPv6 caller is her /64: she owns all of it.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings):
    """trusted_proxy: the network of the one proxy before this edge, in CIDR; nobody's forwarded addresses count when absent."""

    trusted_proxy: IPv4Network | IPv6Network | None = None


def address_of(scope: Scope, proxy: IPv4Network | IPv6Network | None) -> str:
    peer = scope["client"][0] if scope["client"] else ""
    if proxy is not None and _within(peer, proxy):
        said = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        last = said[-1].decode("latin-1").rpartition(",")[2].strip() if said else ""
        return _grouped(last) or _grouped(peer)
    return _grouped(peer)


def _within(peer: str, proxy: IPv4Network | IPv6Network) -> bool:
    found = _read(peer)
    return found is not None and found in proxy


def _grouped(address: str) -> str:
    """The same text for whoever is the same caller; empty for what is no address."""
    found = _read(address)
    if found is None:
        return ""
    return str(found) if found.version == 4 else str(ip_network((found.packed, 64), strict=False))


def _read(address: str) -> IPv4Address | IPv6Address | None:
    """Who listens to both kinds hears an IPv4 caller as `::ffff:192.0.2.1`: as IPv6 all of them were one caller, and no proxy a proxy."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
