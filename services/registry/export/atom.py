"""The newest changes as an Atom feed (RFC 4287). It needs no library: the document is a dozen elements."""

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as xml

from services.registry.queries.diff import News

_ATOM = "http://www.w3.org/2005/Atom"


def feed(newest: Sequence[News]) -> bytes:
    """Each entry links to the register as it was known from then on."""
    xml.register_namespace("", _ATOM)
    root = _element(None, "feed")
    _element(root, "id", "urn:wardline:feed:register")
    _element(root, "title", "Wardline: policy book and register")
    _element(root, "updated", _stamp(newest[0].at if newest else datetime(1970, 1, 1, tzinfo=UTC)))
    _element(_element(root, "author"), "name", "Wardline")
    _element(root, "link", rel="self", href="/v1/feed.atom")
    for news in newest:
        entry = _element(root, "entry")
        _element(entry, "id", news.id.urn)
        _element(entry, "title", news.title)
        _element(entry, "updated", _stamp(news.at))
        _element(entry, "summary", news.summary)
        _element(entry, "link", rel="alternate", href=f"/v1/ropa?as_of={_stamp(news.at)}&known_at={_stamp(news.at)}")
    return xml.tostring(root, encoding="utf-8", xml_declaration=True)


def _element(parent: xml.Element | None, name: str, text: str | None = None, **attributes: str) -> xml.Element:
    tag = f"{{{_ATOM}}}{name}"
    made = xml.Element(tag, attributes) if parent is None else xml.SubElement(parent, tag, attributes)
    made.text = text
    return made


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
