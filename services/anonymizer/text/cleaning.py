"""`Cleaner(known).clean(text)`: the text with `[name]`, `[phone]` … where people stood, and whether that was done with confidence.

Whoever introduces themselves is a name in the whole text, though nobody knows them. Not confident is: a name introduced that was not
taken out, a run of digits or an @ that no rule explained, a script the rules can't read, a text beyond any length that is looked
through. Then there is no text: its body is deleted.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from services.anonymizer.text.known import Known
from services.anonymizer.text.patterns import DATE, Span, found
from services.anonymizer.text.words import COMMON, INTRODUCES, INTRODUCING, PLACES

if TYPE_CHECKING:
    import ahocorasick_rs

LONGEST = 100_000
# What is found twice is what the more telling kind says: a personnummer is not only digits, and a known name not part of an address.
_ORDER = ("personnummer", "iban", "card", "mac", "ip", "email", "phone", "address", "name", "number")
_INTRODUCED = re.compile(
    rf"(?:{'|'.join(INTRODUCES)})[,:]?[ \t]*(?=(?P<name>(?:[^\W\d_][\w'\u2019-]*[ \t]*){{1,3}}))", re.I | re.M
)
_DIGITS_LEFT = re.compile(r"(?:\d[\s.,\-/()]{0,3}){7,}")
_TOO_MANY = 8
# A word with a capital in the middle of a sentence: behind a word or a comma, and not behind what ends one.
_WITHIN = re.compile(r"(?<=[\w,;\])\u2019'] )[A-ZÅÄÖÉÜØÆ][^\W\d_]+")
_CAPITAL = r"(?P<name>[A-ZÅÄÖÉÜØÆ][^\W\d_]+)"
_BEFORE, _BEHIND = re.compile(rf"\b{_CAPITAL} (?:och|and|&) $"), re.compile(rf" (?:och|and|&) {_CAPITAL}")
_LETTER = re.compile(r"[^\W\d_]")
_UNREADABLE = re.compile(r"[^\W\d_A-Za-zÀ-ÖØ-öø-ÿĀ-ſ]")


@dataclass(frozen=True)
class Cleaned:
    """`text` is None where it was not cleaned with confidence; `found`: how many spans of each kind."""

    text: str | None
    found: Counter[str]


class Cleaner:
    def __init__(self, known: Known) -> None:
        self.known = known

    def clean(self, text: str) -> Cleaned:
        spans = self.spans(text)
        cleaned = _without(text, spans)
        counts = Counter([span.kind for span in spans])
        return Cleaned(cleaned if len(text) <= LONGEST and is_sure(cleaned) else None, counts)

    def spans(self, text: str) -> list[Span]:
        """What is taken out: none overlaps another."""
        spans = _apart([*found(text), *self.known.found(text), *_introduced(text)])
        return _apart([*spans, *_beside(text, spans)])


def _names_introduced(text: str) -> Iterator[str]:
    """What stands where a name is said. The expression looks at every letter: only where one of its words is there at all."""
    folded = text.lower()
    words = _introducing().find_matches_as_indexes(folded, overlapping=True)
    if any(_is_apart(folded, start, end) for _, start, end in words):
        for each in _INTRODUCED.finditer(text):
            yield each["name"]


def _is_apart(text: str, start: int, end: int) -> bool:
    return not (text[max(0, start - 1) : start].isalnum() or text[end : end + 1].isalnum())


@cache
def _introducing() -> "ahocorasick_rs.AhoCorasick":
    import ahocorasick_rs

    return ahocorasick_rs.AhoCorasick(INTRODUCING)


def _introduced(text: str) -> Iterator[Span]:
    words = {word for names in _names_introduced(text) for word in names.split() if _is_named(word)}
    for word in words:
        for each in re.finditer(rf"(?<!\w){re.escape(word)}s?(?!\w)", text, re.I):
            yield Span(*each.span(), "name")


def _beside(text: str, spans: list[Span]) -> Iterator[Span]:
    """Who is named in one breath with somebody: `Magda and [name]`."""
    for span in spans:
        if span.kind == "name":
            beside = _BEFORE.search(text, max(0, span.start - 40), span.start), _BEHIND.match(text, span.end)
            yield from (Span(*each.span("name"), "name") for each in beside if each and _is_strange(each["name"]))


def is_sure(cleaned: str) -> bool:
    """Whether nothing that is left looks as if it named somebody."""
    if "@" in cleaned or _unexplained(cleaned):
        return False
    unreadable = [] if cleaned.isascii() else _UNREADABLE.findall(cleaned)
    if unreadable and len(unreadable) > 0.05 * (len(_LETTER.findall(cleaned)) - len(unreadable)) + 2:
        return False
    if any(_is_named(name) for name in _names_introduced(cleaned)):
        return False
    return not any(_is_strange(each.group()) for each in _WITHIN.finditer(cleaned))


def _unexplained(cleaned: str) -> bool:
    """Digits, once the dates are out of the way, that would do for a telephone number; money has fewer."""
    if sum(map(str.isdigit, cleaned)) < _TOO_MANY:
        return False
    return any(len(re.sub(r"\D", "", each)) >= _TOO_MANY for each in _DIGITS_LEFT.findall(DATE.sub("", cleaned)))


def _is_strange(word: str) -> bool:
    """A name of nobody we know, it seems; letters that are all capitals (SIM, PUK) are short for something."""
    return not word.isupper() and word.lower() not in COMMON and _bare(word) not in PLACES


def _bare(word: str) -> str:
    return word.lower().removesuffix("s")


def _is_named(words: str) -> bool:
    """A word with a capital that is no ordinary word."""
    return any(word[0].isupper() and len(word) > 1 and word.lower() not in COMMON for word in words.split())


def _apart(spans: list[Span]) -> list[Span]:
    """Overlapping finds become one, from the first's start to the last's end, of the kind that tells most."""
    joined: list[Span] = []
    for span in sorted(spans):
        last = joined[-1] if joined else None
        if last and span.start < last.end:
            kind = min(last.kind, span.kind, key=_ORDER.index)
            joined[-1] = Span(last.start, max(last.end, span.end), kind)
        else:
            joined.append(span)
    return joined


def _without(text: str, spans: list[Span]) -> str:
    parts, at = [], 0
    for span in spans:
        parts += [text[at : span.start], f"[{span.kind}]"]
        at = span.end
    return "".join([*parts, text[at:]])
