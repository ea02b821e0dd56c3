"""Nordtel, a synthetic Swedish operator with real stores: for the first run and the tests (README.md)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ops.home import Home
    from sample.manifest import Manifest
    from sample.stores import Cluster


async def fill(home: "Home", postgres: "Cluster", **wishes: Any) -> "Manifest":
    """Fill every store once; the wishes are those of `sample.filling.fill`."""
    from sample.filling import fill  # Arrow and numpy are loaded by who fills, not by who looks up a case

    return await fill(home, postgres, **wishes)
