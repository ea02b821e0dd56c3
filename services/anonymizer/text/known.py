"""Whom a tenant knows: names, addresses, numbers and e-mail addresses of its people, found however they are written.

One automaton (Aho-Corasick) finds all of them in one pass over the text, another all numbers in one pass over its digits alone, so
that no separator hides one. Single words of names are looked up too: inflected (`Annas`), as nicknames (`Maggan`), and with one
letter wrong, which only a word with a capital is suspected of. Words that are ordinary words as well as names (`Berg`, `Will`)
count only with a capital.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from services.anonymizer.text.patterns import Span
from services.anonymizer.text.words import COMMON, NICKNAMES

_WORD = re.compile(r"[^\W\d_]+(?:[-'\u2019][^\W\d_]+)*")
_CAPITALISED = re.compile(r"[A-ZÀ-ÖØ-ÞĀ-ž][^\W\d_]{4,}")
_INITIALS_BEFORE = re.compile(r"(?<!\w)(?:(?:[A-ZÅÄÖ](?:\.|-(?=[A-ZÅÄÖ]))? ?){1,3} ?|[A-ZÅÄÖ][^\W\d_]+-)$")
_INITIALS_AFTER = re.compile(r"-[A-ZÅÄÖ][^\W\d_]+|,? [A-ZÅÄÖ]\.")
_CASES = ("s", "'s", "\u2019s", "es")
_DIGIT = re.compile(r"\d")
_STUCK = re.compile(r"(.)\1{2,}")
_FUZZY_FROM = 5
_SHORTEST_NUMBER = 7


@dataclass(frozen=True)
class Vocabulary:
    """As the operator's stores have them; numbers in international digits, and `country` is what a leading 0 stands for."""

    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    country: str = "46"


class Known:
    def __init__(self, vocabulary: Vocabulary) -> None:
        import ahocorasick_rs

        phrases = {**dict.fromkeys(map(_folded, vocabulary.names), "name")}
        phrases |= dict.fromkeys(map(_folded, vocabulary.addresses), "address")
        phrases |= dict.fromkeys(map(_folded, vocabulary.emails), "email")
        phrases |= dict.fromkeys(map(_folded, vocabulary.others), "number")
        phrases.pop("", None)
        self._kinds = list(phrases.values())
        self._phrases = ahocorasick_rs.AhoCorasick(list(phrases), matchkind=ahocorasick_rs.MatchKind.LeftmostLongest)
        national = {"0" + number.removeprefix(vocabulary.country) for number in vocabulary.numbers}
        digits = sorted({*vocabulary.numbers, *national, *(n for n in vocabulary.others if n.isdigit())})
        self._digits = ahocorasick_rs.AhoCorasick([each for each in digits if len(each) >= _SHORTEST_NUMBER])
        whole = {_folded(word) for name in vocabulary.names for word in _WORD.findall(name)}
        self._words = {part for word in whole for part in (word, *word.split("-")) if len(part) > 1}
        nicknames = {short for short, long in NICKNAMES.items() if self._words & set(long)}
        # Each as it is and in the genitive; with a small letter only those count that are nothing but a name.
        forms = {bare + ending: bare for ending in (*_CASES, "") for bare in self._words | nicknames}
        self._singly = ahocorasick_rs.AhoCorasick(list(forms))
        self._is_only_a_name = [bare not in COMMON and len(bare) > 2 for bare in forms.values()]

    def found(self, text: str) -> Iterator[Span]:
        folded = _folded(text)
        for kind, start, end in self._phrases.find_matches_as_indexes(folded):
            if not _within_word(text, start, end):
                yield Span(start, _inflected(text, end), self._kinds[kind])
        yield from self._numbers(text)
        yield from self._single(text, folded)

    def _numbers(self, text: str) -> Iterator[Span]:
        if not _DIGIT.search(text):
            return
        places = [place for place, char in enumerate(text) if char.isdigit()]
        if len(places) < _SHORTEST_NUMBER:
            return
        for _, start, end in self._digits.find_matches_as_indexes("".join(text[place] for place in places)):
            first, last = places[start], places[end - 1]
            # Digits that stand far apart are of different sentences.
            if last - first < 4 * (end - start):
                yield Span(first, last + 1, "phone")

    def _single(self, text: str, folded: str) -> Iterator[Span]:
        """Single words of names: as they are in whatever letters, and not quite as they are with a capital."""
        for which, start, end in self._singly.find_matches_as_indexes(folded, overlapping=True):
            if not (folded[max(0, start - 1) : start].isalnum() or folded[end : end + 1].isalnum()):
                if text[start].isupper() or self._is_only_a_name[which]:
                    yield _with_initials(text, start, end)
        for each in _CAPITALISED.finditer(text):
            word, before = _folded(each[0]), text[max(0, each.start() - 1) : each.start()]
            if word not in COMMON and not before.isalpha() and (self._stuck(word) or self._nearly(word)):
                yield _with_initials(text, *each.span())

    def _stuck(self, word: str) -> bool:
        """`Annna`: a key that was held too long."""
        fewer = _STUCK.sub(r"\1\1", word)
        return fewer != word and any(bare in self._words for bare in _without_case(fewer))

    def _nearly(self, word: str) -> bool:
        """One letter too many, too few, wrong, or two changed round, in a name that is long enough to bear it."""
        return any(
            candidate in self._words
            for bare in _without_case(word)
            for cut in (bare, *_cuts(bare))
            for candidate in self._near.get(cut, ())
            if _one_apart(bare, candidate)
        )

    @cached_property
    def _near(self) -> dict[str, list[str]]:
        """Each name under itself and under what is left of it without one letter: two words one letter apart share such a form."""
        found: dict[str, list[str]] = {}
        for word in self._words:
            if len(word) >= _FUZZY_FROM:
                for cut in {word, *_cuts(word)}:
                    found.setdefault(cut, []).append(word)
        return found


def _with_initials(text: str, start: int, end: int) -> Span:
    """`J. Andersson`, `K-E Lindqvist` and `Andersson, J.`: initials tell a name of many bearers apart; and so does `Anna-Karin`."""
    before, after = _INITIALS_BEFORE.search(text[max(0, start - 16) : start]), _INITIALS_AFTER.match(text, end)
    return Span(start - len(before.group()) if before else start, after.end() if after else end, "name")


def _folded(text: str) -> str:
    """In small letters, each where it was: one letter alone would become two."""
    return text.replace("İ", "I").lower()


def _without_case(word: str) -> Iterable[str]:
    """The word, and what it is without the genitive."""
    if not word.endswith("s"):  # as every case does
        return [word]
    return [word, *(word.removesuffix(ending) for ending in _CASES if word.endswith(ending))]


def _cuts(word: str) -> list[str]:
    return [word[:place] + word[place + 1 :] for place in range(len(word))]


def _one_apart(one: str, other: str) -> bool:
    if one == other:
        return True
    if len(one) == len(other):
        wrong = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
        swapped = len(wrong) == 2 and wrong[1] == wrong[0] + 1 and one[wrong[0]] == other[wrong[1]]
        return len(wrong) == 1 or (swapped and one[wrong[1]] == other[wrong[0]])
    longer, shorter = sorted((one, other), key=len, reverse=True)
    return len(longer) == len(shorter) + 1 and shorter in _cuts(longer)


def _within_word(text: str, start: int, end: int) -> bool:
    """Whether the match is a piece of a longer word; a genitive s at its end is not another word."""
    if start and text[start - 1].isalnum():
        return True
    rest = _inflected(text, end)
    return rest < len(text) and text[rest].isalnum()


def _inflected(text: str, end: int) -> int:
    if text[end : end + 1].lower() == "s" and not text[end + 1 : end + 2].isalnum():
        return end + 1
    return end
