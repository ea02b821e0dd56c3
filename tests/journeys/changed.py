"""The policy book with three rows changed, as a reviewer would change them; nothing else is touched."""

VERSION = "2026.2"

_CHANGES = (
    ('version: "2026.1"', f'version: "{VERSION}"'),
    # What is promised in public changes with the rule itself, or the registry refuses the book.
    (
        """
    anchor: started_at
    keep: 30 days
    then: delete
    promised:
      max: 30 days
      words:
        sv: 30 dagar, om du inte tidigare ber oss ta bort en viss fil
        en: 30 days, unless you ask earlier that a specific file is removed
""",
        """
    anchor: started_at
    keep: 31 days
    then: delete
    promised:
      max: 31 days
      words:
        sv: 31 dagar, om du inte tidigare ber oss ta bort en viss fil
        en: 31 days, unless you ask earlier that a specific file is removed
""",
    ),
    ("    keep: 10 months", "    keep: 11 months"),
    ("    law: {min: 10 months, max: 10 months}", "    law: {min: 11 months, max: 11 months}"),
    ("covers: usage_statistics, basis: legitimate_interest", "covers: usage_statistics, basis: consent"),
)


def changed(book: str) -> str:
    for old, new in _CHANGES:
        assert book.count(old) == 1, f"{old!r} stands {book.count(old)} times in the book"
        book = book.replace(old, new)
    return book
