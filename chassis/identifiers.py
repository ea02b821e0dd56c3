"""One spelling for every identifier, as ETSI TS 103 280 writes them; two spellings of a number must never be two people."""

import re
import unicodedata
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from chassis.errors import Invalid


class BadIdentifier(Invalid):
    """Says what form is expected, never the value that was sent."""

    code, title = "identifier.malformed", "This identifier is not written as its type is"


def normalise(type: str, value: str, country: str | None = None) -> str:
    """The one spelling of `value`. Raises BadIdentifier.

    type: msisdn, email, mac, ipv4, ipv6, imsi, imei, customer, agent or account · country: the calling code ("46") that a number
    in national form gets; without it such a number is refused, for nobody here knows whose it is.
    """
    text = unicodedata.normalize("NFC", value).strip()
    if not text or len(text) > 255 or not text.isprintable():
        raise BadIdentifier("An identifier has 1 to 255 printable characters.")
    if type == "msisdn":
        return _international(text, country)
    if type not in _SPELLINGS:
        raise BadIdentifier("There is no such type of identifier.")
    return _SPELLINGS[type](text)


def _international(text: str, country: str | None) -> str:
    """E.164: 1 to 15 digits, country code first, no `+`."""
    digits = re.sub(r"[\s()./-]", "", text)
    if digits.startswith("+"):
        digits = digits[1:]
    elif digits.startswith("00"):
        digits = digits[2:]
    elif digits.startswith("0") and country:
        digits = country + digits[1:]
    return _matching(r"[1-9][0-9]{0,14}", digits, "Write the number with its country code: +46 70 123 45 67.")


def _email(text: str) -> str:
    return _matching(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*", text.lower(), "An e-mail address is name@domain.")


def _mac(text: str) -> str:
    digits = re.sub(r"[:.\- ]", "", text.lower())
    _matching(r"[0-9a-f]{12}", digits, "A MAC address has six pairs of hexadecimal digits.")
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise BadIdentifier("An IPv4 address has four numbers from 0 to 255.") from None


def _ipv6(text: str) -> str:
    """Fully expanded, lower case."""
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise BadIdentifier("This is no IPv6 address.") from None
    if address.scope_id is not None:
        raise BadIdentifier("An IPv6 address with a zone names nobody outside its own machine.")
    return address.exploded


def _number(pattern: str, expected: str) -> Callable[[str], str]:
    return lambda text: _matching(pattern, re.sub(r"[ -]", "", text), expected)


def _matching(pattern: str, text: str, expected: str) -> str:
    if re.fullmatch(pattern, text, re.ASCII) is None:
        raise BadIdentifier(expected)
    return text


_SPELLINGS: dict[str, Callable[[str], str]] = {
    "email": _email,
    "mac": _mac,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "imsi": _number("[0-9]{6,15}", "An IMSI has 6 to 15 digits."),
    "imei": _number("[0-9]{14,16}", "An IMEI has 14 to 16 digits."),
    "customer": str,
    "agent": str,
    "account": str.lower,
}
