"""One changed row of every kind that the policy book has, as a lawyer would change it, and what the public page then says.

`only_said`: why nothing executes rows of this kind; they are printed for people to read. What executes all others is looked at before
and after in `tests/journeys/looks.py`.
"""

from dataclasses import dataclass

VERSION = "2026.2"


@dataclass(frozen=True)
class Change:
    """lines: (what stands in the book, what becomes of it) · page: words the public page then has, if it shows such rows."""

    lines: tuple[tuple[str, str], ...]
    page: str | None = None
    only_said: str = ""


def one(old: str, new: str, page: str | None = None, only_said: str = "") -> Change:
    return Change(((old, new),), page, only_said)


def added(after: str, row: str, page: str | None = None) -> Change:
    """One more row, after one that stands there."""
    return Change(((after, f"{after}\n  - {row}"),), page)


CHANGES = {
    "controller": one("address: Exempelgatan 1, ", "address: Exempelgatan 2, ", "Exempelgatan 2"),
    "authorities": one("address: Box 8114, 104 20 Stockholm", "address: Box 9999, 104 20 Stockholm", "Box 9999"),
    "subjects": one("en: Visitors}", "en: Visitors of ours}", only_said="whom a category is about; records and answers say it"),
    "services": added(
        '{key: helpdesk, label: {sv: Kundtjänst, en: Helpdesk}, source: "page: Sub-processors"}',
        '{key: satellite, label: {sv: Satellit, en: Satellite}, source: "house: service catalogue"}',
    ),
    "categories": one(
        "en: Quality measures}, explicit_consent: false,",
        "en: Measures of quality}, explicit_consent: false, content: true,",
        "Measures of quality",
    ),
    "collection": one(
        "en: When you contact us}",
        "en: When you call or write to us}",
        "When you call or write to us",
        only_said="how data came; pages, records and answers say it",
    ),
    "purposes": one(
        "Develop services with the help of traffic data and usage statistics.\n    necessity: optional\n    objection: weighed",
        "Develop services with traffic data and usage statistics.\n    necessity: optional\n    objection: absolute\n"
        "    consent_validity: 12 months",
        "A consent is valid for 12 months.",
    ),
    "bases": one("covers: usage_statistics, basis: legitimate_interest", "covers: usage_statistics, basis: consent"),
    "api_scopes": one('scope: "usage-insights:read"', 'scope: "usage-insights:retrieve"'),
    "withdrawals": one("elements: [recorded_call, helpdesk_recording]\n    legal_ref", "elements: [helpdesk_recording]\n    legal_ref"),
    "conditions": one(
        "label: {sv: Avtalet löper, en: The agreement is running}\n    reason: {sv: Avtalet löper, en: The agreement is running}",
        "label: {sv: Avtal löper, en: An agreement is running}\n    reason: {sv: Avtal löper, en: An agreement is running}",
        "An agreement is running",
    ),
    # What is promised in public changes with the rule itself, or the registry refuses the book.
    "retention": Change(
        (
            (
                "    keep: 30 days\n    then: delete\n    promised:\n      max: 30 days\n      words:\n        sv: 30 dagar, om",
                "    keep: 31 days\n    then: delete\n    promised:\n      max: 31 days\n      words:\n        sv: 31 dagar, om",
            ),
            ("en: 30 days, unless you ask", "en: 31 days, unless you ask"),
            ("    keep: 10 months", "    keep: 11 months"),
            ("    law: {min: 10 months, max: 10 months}", "    law: {min: 11 months, max: 11 months}"),
        ),
        "11 months after the communication",
    ),
    "recipients": one(
        "en: When you call outside our network}",
        "en: When you call other networks}",
        "When you call other networks",
        only_said="a condition for people; who may order what are the rows of instruments, who processes those of sub-processors",
    ),
    "places": Change(
        (
            (
                '{key: ca, label: {sv: Kanada, en: Canada}, third_country: true, source: "page: Sub-processors"}',
                '{key: ca, label: {sv: Kanada, en: Canada (Quebec)}, third_country: true, source: "page: Sub-processors"}\n'
                '  - {key: gb, label: {sv: Storbritannien, en: United Kingdom}, third_country: true, source: "house: expected"}',
            ),
        ),
        "Canada (Quebec)",
    ),
    "subprocessors": one(
        "legal_name: Microsoft Corporation (Office 365), purpose: {sv: Molntjänstleverantör, en: Cloud service provider}, places: [europe], services: [],",
        "legal_name: Microsoft Ireland (Office 365), purpose: {sv: Molntjänstleverantör, en: Cloud service provider}, places: [europe], services: [helpdesk],",
        "Microsoft Ireland",
    ),
    "adequacy": one(
        'decision: "(EU) 2023/1795", listed_importers: true, valid_from: 2023-07-10,',
        'decision: "(EU) 2023/1795", listed_importers: true, valid_from: 2023-07-10, valid_to: 2025-12-31,',
    ),
    "transfers": one(
        "twilio, place: us, mechanism: not_stated,", "twilio, place: us, mechanism: scc,", "standard contractual clauses"
    ),
    "rights": Change(
        (
            ("en: Claim damages, in writing.", "en: Claim damages in a letter."),
            (
                "      en: Have an automated decision reviewed by a person.\n    legal_ref: GDPR Art. 22(3)\n    due: 1 month\n    extension: 2 months",
                "      en: Have an automated decision reviewed by a person.\n    legal_ref: GDPR Art. 22(3)\n    due: 14 days\n    extension: 30 days",
            ),
            (
                "    due: 1 month\n    decided_by: person\n    source: \"law: GDPR Art. 12(4), 77\"",
                "    due: 1 month\n    decided_by: person\n    assurance: 2\n    source: \"law: GDPR Art. 12(4), 77\"",
            ),
        ),
        "Claim damages in a letter.",
    ),
    "extensions": added(
        '{key: number_of_requests, label: {sv: Vi har fått många begäranden, en: We have received a great number of requests}, legal_ref: "GDPR Art. 12(3)", source: "law: GDPR Art. 12(3)"}',
        '{key: archive, label: {sv: Uppgifterna ligger i arkivet, en: The data lie in the archive}, legal_ref: "GDPR Art. 12(3)", source: "law: GDPR Art. 12(3)"}',
    ),
    "refusals": added(
        '{key: complaint_unfounded, label: {sv: Vi har prövat klagomålet och håller inte med, en: We have examined the complaint and do not agree}, legal_ref: "GDPR Art. 12(4)", source: "law: GDPR Art. 12(4)"}',
        '{key: no_such_decision, label: {sv: Beslutet fattades av en människa, en: A person made the decision}, legal_ref: "GDPR Art. 22(1)", source: "law: GDPR Art. 22(1)"}',
    ),
    "assurances": one(
        '"http://eidas.europa.eu/LoA/substantial"], level: 2', '"http://eidas.europa.eu/LoA/substantial", "urn:bankid"], level: 2'
    ),
    "representations": one(
        "until_age: 18\n    asked_from_age: 15", "until_age: 18\n    asked_from_age: 16", "asked from 16"
    ),
    "order_categories": one(
        "elements: [name, telephone_number, network_address], source", "elements: [name, telephone_number, email_conversation], source"
    ),
    "instruments": one(
        "issuers: [prosecutor]\n    categories: [traffic, location]", "issuers: [prosecutor]\n    categories: [traffic, location, subscriber]"
    ),
    "limits": one("en: A breach is reported to PTS within}, period: 24 hours", "en: A breach is reported to PTS within}, period: 20 hours"),
    "measures": one(
        "en: Entrances of data centres are recorded.}",
        "en: Every entrance is recorded.}",
        "Every entrance is recorded.",
        only_said="what the operator does to protect data; programs cannot do it by reading it",
    ),
    "clauses": Change(
        (
            ("och begära domstols prövning.", "och gå till domstol."),
            ("and seek a judicial remedy.", "and go to court."),
        ),
        "and go to court.",
    ),
    "statements": one(
        "Requested in self-service or from the helpdesk.",
        "Requested in self-service or at the helpdesk.",
        only_said="words for cells of the authorities' templates",
    ),
    "findings": one(
        "decision: {sv: 30 dagar., en: 30 days.}",
        "decision: {sv: 30 dagar så länge., en: 30 days for now.}",
        only_said="what lawyers still have to decide; the rules themselves are other rows",
    ),
    "clearances": added(
        '{key: us_citizenship, label: {sv: Kontrollerat amerikanskt medborgarskap, en: Validated US citizenship}, source: "page: Protection"}',
        '{key: background, label: {sv: Kontrollerad bakgrund, en: Background checked}, source: "house: security"}',
    ),
    "regions": one("en: United States}, clearance: us_citizenship, source", "en: United States}, source"),
    "facilities": one(
        "      - {key: backup_vault,", "      - {key: hall_c, label: {sv: Hall C, en: Hall C}}\n      - {key: backup_vault,"
    ),
    "systems": added(
        '{key: wardline, label: {sv: Integritetsplattformen, en: The privacy platform}, source: "house: systems"}',
        '{key: roaming, label: {sv: Roaming, en: Roaming}, source: "house: systems"}',
    ),
    "breach_clocks": one("    limit: breach_subjects\n    from_risk: high", "    limit: breach_subjects\n    from_risk: risk"),
}  # fmt: skip


def changed(book: str) -> str:
    """The book's file with every kind changed; nothing else is touched."""
    lines = [
        ('version: "2026.1"', f'version: "{VERSION}"'),
        *(line for change in CHANGES.values() for line in change.lines),
    ]
    for old, new in lines:
        assert book.count(old) == 1, f"{old!r} stands {book.count(old)} times in the book"
        book = book.replace(old, new)
    return book
