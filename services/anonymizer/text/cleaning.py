"""`Cleaner(known).clean(text)`: the text with `[name]`, `[phone]` … where people stood, and whether that was done with confidence.

Whoever introduces themselves is a name in the whole text, though nobody knows them. Not confident is: a name introduced that was not
taken out, a run of digits or an @ that no rule explained, a script the rules can't read, a text beyond any length that is looked
through. Then there is no text: its body is deleted.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from services.anonymizer.text.known import Known
from services.anonymizer.text.patterns import DATE, Span, found
from services.anonymizer.text.words import COMMON, INTRODUCES, PLACES

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
_READABLE = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿĀ-ſ]")
_LETTER = re.compile(r"[^\W\d_]")


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
        counts = Counter(span.kind for span in spans)
        return Cleaned(cleaned if len(text) <= LONGEST and is_sure(cleaned) else None, counts)

    def spans(self, text: str) -> list[Span]:
        """What is taken out: none overlaps another."""
        return _apart([*found(text), *self.known.found(text), *_introduced(text)])


def _introduced(text: str) -> Iterator[Span]:
    words = {word for each in _INTRODUCED.finditer(text) for word in each["name"].split() if _is_named(word)}
    for word in words:
        for each in re.finditer(rf"(?<!\w){re.escape(word)}s?(?!\w)", text, re.I):
            yield Span(*each.span(), "name")


def is_sure(cleaned: str) -> bool:
    """Whether nothing that is left looks as if it named somebody."""
    if "@" in cleaned or _unexplained(cleaned):
        return False
    letters = _LETTER.findall(cleaned)
    if len(letters) > 1.05 * len(_READABLE.findall(cleaned)) + 2:
        return False
    if any(_is_named(each["name"]) for each in _INTRODUCED.finditer(cleaned)):
        return False
    return not any(_is_strange(each.group()) for each in _WITHIN.finditer(cleaned))


def _unexplained(cleaned: str) -> bool:
    """Digits, once the dates are out of the way, that would do for a telephone number; money has fewer."""
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
