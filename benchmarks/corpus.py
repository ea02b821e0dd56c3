"""How well texts are cleaned: recall and precision per kind over `texts.txt`, and what would have been let out.

A marked span is *recalled* when no character of it is left, under whatever name it was taken out; a find is *precise* when it touches
a marked span. *Leaked* is what counts in the end: marked spans of which something is left in a text that was cleaned "with
confidence". A text that was not is deleted whole, which is told as well.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from services.anonymizer.text.cleaning import Cleaner
from services.anonymizer.text.known import Known, Vocabulary
from services.anonymizer.text.patterns import Span

TEXTS, HELD_OUT = (Path(__file__).parent / name for name in ("texts.txt", "texts_held_out.txt"))
_MARK = re.compile(r"\{(\w+)\|([^{}]*)\}")


@dataclass(frozen=True)
class Marked:
    text: str
    spans: list[Span]


@dataclass
class Report:
    marked: Counter[str] = field(default_factory=Counter)
    recalled: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    precise: Counter[str] = field(default_factory=Counter)
    texts: int = 0
    deleted: int = 0
    harmless_deleted: int = 0
    leaked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def recall(self, kind: str) -> float:
        return self.recalled[kind] / self.marked[kind]

    def precision(self, kind: str) -> float:
        return self.precise[kind] / self.found[kind] if self.found[kind] else 1.0

    def lines(self) -> list[str]:
        kinds = [
            f"{kind:13} {self.recall(kind):6.2f} {self.precision(kind):9.2f} {n:6}" for kind, n in self.marked.items()
        ]
        whole = f"{self.texts} texts, {self.deleted} deleted whole ({self.harmless_deleted} of them held nobody), {len(self.leaked)} leaked"
        return ["kind          recall precision marked", *kinds, whole]


def read(texts: Path = TEXTS) -> tuple[list[Marked], Vocabulary]:
    """The marked texts of one file, and whom the operator of both knows."""
    lines = [line for line in TEXTS.read_text().splitlines() if line and not line.startswith("#")]
    known = {line.split()[1].rstrip(":"): line.partition(":")[2] for line in lines if line.startswith("known ")}
    told = {kind: tuple(value.strip() for value in values.split(";")) for kind, values in known.items()}
    vocabulary = Vocabulary(told["name"], told["address"], told["email"], told["number"], told["other"])
    marked = [line for line in texts.read_text().splitlines() if line and not line.startswith(("#", "known "))]
    return [_marked(line.replace("\\n", "\n")) for line in marked], vocabulary


def report(file: Path = TEXTS) -> Report:
    texts, vocabulary = read(file)
    cleaner, told = Cleaner(Known(vocabulary)), Report(texts=len(texts))
    for each in texts:
        spans, cleaned = cleaner.spans(each.text), cleaner.clean(each.text)
        told.deleted += cleaned.text is None
        told.harmless_deleted += cleaned.text is None and not each.spans
        for span in each.spans:
            left = _left(each.text, span, spans)
            told.marked[span.kind] += 1
            told.recalled[span.kind] += not left
            if left:
                told.wrong.append(f"missed {span.kind}: {left!r} in {each.text!r}")
                told.leaked += [each.text] if cleaned.text is not None else []
        for span in spans:
            right = any(span.start < other.end and other.start < span.end for other in each.spans)
            told.found[span.kind] += 1
            told.precise[span.kind] += right
            if not right:
                told.wrong.append(f"taken for {span.kind}: {each.text[span.start : span.end]!r} in {each.text!r}")
    return told


def _marked(line: str) -> Marked:
    text, spans, at = "", [], 0
    for mark in _MARK.finditer(line):
        text += line[at : mark.start()]
        spans.append(Span(len(text), len(text) + len(mark[2]), mark[1]))
        text, at = text + mark[2], mark.end()
    return Marked(text + line[at:], spans)


def _left(text: str, span: Span, taken: list[Span]) -> str:
    """The letters and digits of a marked span that no find covers."""
    places = (place for place in range(span.start, span.end) if text[place].isalnum())
    return "".join(text[place] for place in places if not any(one.start <= place < one.end for one in taken))
