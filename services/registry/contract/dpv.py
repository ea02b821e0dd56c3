"""The terms of the W3C Data Privacy Vocabulary 2.3 that a book may name: a misspelt one would publish nonsense in its place."""

from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).with_name("dpv-terms.txt")


@lru_cache(maxsize=1)
def terms() -> frozenset[str]:
    """Every IRI. In the file a namespace stands at the margin, and its terms are indented."""
    found, namespace = set(), ""
    for line in _FILE.read_text().splitlines():
        if line.startswith("http"):
            namespace = line.strip()
        elif line.startswith(" "):
            found |= {namespace + term for term in line.split()}
    return frozenset(found)
