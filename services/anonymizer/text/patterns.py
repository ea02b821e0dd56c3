"""What gives itself away by its form: personnummer, accounts, cards, numbers, addresses of mail, hardware and network.

A checksum decides where there is one. What has a form but fails its checksum is no less somebody's, only misspelled: it is found as
a plain `number`, as is every other run of five digits or more, for an invoice's number names a person as well as a telephone's.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ahocorasick_rs


class Span(NamedTuple):
    start: int
    end: int
    kind: str


_DIGIT = re.compile(r"\d")
_GROUP = re.compile(r"\d+")
# Unequal separators, one or two between digits, are how people write numbers by hand.
_SEP = r"[ \u00a0.\-\u2010-\u2015/]"
_RUN = re.compile(rf"(?<![\w+])(?:\+|00)?[(]?\d(?:{_SEP}{{0,2}}[()]?[oOlI]?\d[()]?){{4,29}}(?!\w)")
_PERSONNUMMER = re.compile(
    r"(?<!\d)((?:18|19|20)?\d{2})[ .\-/]?(\d{2})[ .\-/]?(\d{2}) ?([-+\u2010-\u2015]?) ?(\d{4})(?!\d)"
)
_RESERVE = re.compile(r"(?<![\w])(?:18|19|20)?\d{6}[-+ ]?[A-Z]{1,2}\d{2,3}(?!\w)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+'-]+ ?@ ?[\w-]+(?:\.[\w-]+)+", re.UNICODE)
_AT = r"(?:\(at\)|\[at\]|\{at\}|snabel-?a|alfa-?slang| at )"
_DOT = r"(?:\.|\(dot\)|\[dot\]|\(punkt\)|\[punkt\]| dot | punkt )"
_AT_SIGNS = ("(at)", "[at]", "{at}", "snabel", "alfa", " at ")
_SPOKEN = re.compile(
    rf"(?<!\w)[\w.+-]+(?: ?{_DOT} ?[\w+-]+){{0,3}} ?{_AT} ?[\w-]+(?: ?{_DOT} ?[\w-]+)*? ?{_DOT} ?(?:se|com|nu|org|net|eu|example)\b",
    re.I,
)
_MAC = re.compile(r"(?<![\w:.-])(?:[0-9A-Fa-f]{2}([:. -]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])")
_CISCO = re.compile(r"(?<![\w.])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![\w])")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d])(?!\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?![\w:])")
DATE = re.compile(
    r"(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])|\d{1,2}[/.]\d{1,2}[ /.](?:19|20)\d\d"
)
_VERSION = re.compile(r"[1-9]\d?(?:\.\d{1,3}){2,5}")
_MONEY = re.compile(r"(?:,\d\d)?\s?(?:kr\b|kronor\b|sek\b|eur\b|euro\b|usd\b|dollars?\b|pounds?\b|öre\b|:-|€)", re.I)

_WORDS = {
    **dict.fromkeys(("noll", "nolla", "zero", "oh", "nought"), "0"),
    **dict.fromkeys(("ett", "etta", "one"), "1"),
    **dict.fromkeys(("två", "tvåa", "tva", "two"), "2"),
    **dict.fromkeys(("tre", "trea", "three"), "3"),
    **dict.fromkeys(("fyra", "four"), "4"),
    **dict.fromkeys(("fem", "femma", "five"), "5"),
    **dict.fromkeys(("sex", "sexa", "six"), "6"),
    **dict.fromkeys(("sju", "sjua", "seven"), "7"),
    **dict.fromkeys(("åtta", "atta", "eight"), "8"),
    **dict.fromkeys(("nio", "nia", "nie", "nine"), "9"),
}
_TENS = "tio elva tolv tretton fjorton femton sexton sjutton arton nitton tjugo trettio fyrtio femtio sextio sjuttio åttio nittio"
_TENS += " ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy"
_TENS += " eighty ninety double triple dubbel"
_SPELLED_WORD = "|".join(sorted({*_WORDS, *_TENS.split(), "plus", r"\d{1,4}"}, key=len, reverse=True))
_SPELLED = re.compile(
    rf"(?<!\w)(?:{_SPELLED_WORD})(?:(?:[\s,.\-]|och|and){{1,4}}(?:{_SPELLED_WORD})){{4,}}(?!\w)", re.I
)
_COMPOUND = re.compile(
    rf"(?<!\w)(?:(?:{'|'.join(sorted({*_WORDS, *_TENS.split()}, key=len, reverse=True))})){{4,}}(?!\w)", re.I
)


def found(text: str) -> Iterator[Span]:
    """Every span, overlapping ones included."""
    digits = len(_DIGIT.findall(text))
    for least, finder in _WITH_DIGITS:
        if digits >= least:
            yield from finder(text)
    if "@" in text:
        yield from _emails(text)
    if ":" in text:
        yield from ipv6(text)
    folded = text.lower()
    if any(sign in folded for sign in _AT_SIGNS):
        yield from _spoken(text)
    # Both look at every letter: only where there are as many words for digits, or groups of digits, as they need.
    words = len(_digit_words().find_matches_as_indexes(folded, overlapping=True))
    if words >= 4:
        yield from _compounds(text)
    if words and words + len(_GROUP.findall(text)) >= 5:
        yield from _spelled(text)


@cache
def _digit_words() -> "ahocorasick_rs.AhoCorasick":
    import ahocorasick_rs

    return ahocorasick_rs.AhoCorasick([*_WORDS, *_TENS.split()])


def luhn(digits: str) -> bool:
    doubled = [int(d) * (2 if place % 2 else 1) for place, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def is_personnummer(year: str, month: str, day: str, last: str) -> bool:
    """Ten digits with a Luhn checksum whose first six are a day; in a samordningsnummer sixty is added to the day."""
    born = int(day) - 60 if int(day) > 60 else int(day)
    try:
        date(int(year) if len(year) == 4 else 2000 + int(year), int(month), born)
    except ValueError:
        return False
    return luhn(year[-2:] + month + day + last)


def is_iban(text: str) -> bool:
    plain = re.sub(r"[ -]", "", text).upper()
    moved = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


def _personnummer(text: str) -> Iterator[Span]:
    for each in _PERSONNUMMER.finditer(text):
        year, month, day, _, last = each.groups()
        if is_personnummer(year, month, day, last):
            yield Span(*each.span(), "personnummer")


def _ibans(text: str) -> Iterator[Span]:
    for each in _IBAN.finditer(text):
        # The words that follow an account look as if they went on with it: the longest beginning that is one counts.
        end = each.end()
        while end - each.start() >= 15:
            if is_iban(text[each.start() : end]):
                yield Span(each.start(), end, "iban")
                break
            end -= 1


def _runs(text: str) -> Iterator[Span]:
    """Whatever is left of digits: cards and telephone numbers by their form, and all others; not dates, not money."""
    for each in _RUN.finditer(text):
        written = each.group()
        digits = re.sub(r"\D", "", written)
        if (
            DATE.fullmatch(written.strip())
            or _VERSION.fullmatch(written)
            or (len(digits) < 8 and _MONEY.match(text, each.end()))
        ):
            continue
        yield Span(*each.span(), _kind(written, digits))


def _kind(written: str, digits: str) -> str:
    if 13 <= len(digits) <= 19 and digits[0] in "23456" and luhn(digits):
        return "card"
    international = written.lstrip("(").startswith(("+", "00"))
    if (international and 8 <= len(digits) <= 17) or (digits.startswith("0") and 7 <= len(digits) <= 11):
        return "phone"
    if digits.startswith("46") and 9 <= len(digits) <= 12:
        return "phone"
    return "number"


def _ipv4(text: str) -> Iterator[Span]:
    if text.count(".") < 3:
        return
    for each in _IPV4.finditer(text):
        if all(int(part) < 256 for part in each.group().split(".")):
            yield Span(*each.span(), "ip")


def ipv6(text: str) -> Iterator[Span]:
    for each in _IPV6.finditer(text):
        written = each.group().rstrip(".:") or ":"
        try:
            ipaddress.IPv6Address(written)
        except ValueError:
            continue
        if len(written) > 2:
            yield Span(each.start(), each.start() + len(written), "ip")


def _spells(written: str) -> bool:
    """Five words that are digits, or fewer that are tens: enough for a number, too many for prose."""
    words = re.findall(r"[^\W\d]+|\d+", written.lower())
    return sum(word in _WORDS or word.isdigit() or word in _TENS.split() for word in words) >= 5


def _each(pattern: re.Pattern[str], kind: str, holds: Callable[[str], bool] = bool) -> Callable[[str], Iterator[Span]]:
    def finder(text: str) -> Iterator[Span]:
        return (Span(*each.span(), kind) for each in pattern.finditer(text) if holds(each.group()))

    return finder


_emails, _spoken, _compounds = _each(_EMAIL, "email"), _each(_SPOKEN, "email"), _each(_COMPOUND, "number")
_spelled = _each(_SPELLED, "number", _spells)
# Each beside the least number of digits without which it finds nothing.
_WITH_DIGITS = (
    (10, _personnummer),
    (8, _each(_RESERVE, "personnummer")),
    (2, _ibans),
    (1, _each(_MAC, "mac")),
    (1, _each(_CISCO, "mac")),
    (4, _ipv4),
    (5, _runs),
)
