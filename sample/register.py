"""How the sample operator carries out the purposes of its book, and its agreements with customers: the rows of its living register.

Invented like the operator itself, and only what such an operator knows of itself. What nobody has decided (what makes its transfers
lawful, its processors' agreements, most impact assessments) is left out here, and stands as missing in the records.
"""

from typing import Any

from sample.cases import FJALLRESOR, KUSTBANKEN

_SOURCE = "house: the sample operator's own record"
_SINCE = "2024-01-01"
_SWEDEN = ["Datahall Stockholm, Sverige / Data centre Stockholm, Sweden"]


def both(sv: str, en: str) -> dict[str, str]:
    return {"sv": sv, "en": en}


# What is the same of all the operator's processing.
_STATED = {
    "joint_controller": both("Ingen", "None"),
    "joint_controller_contact": both("Ingen", "None"),
    "joint_controller_agreement": both(
        "Behövs inte: ingen är gemensamt ansvarig", "Not needed: nobody is jointly responsible"
    ),
    "external_dpo": both("Nej, ombudet är anställt", "No, the officer is employed"),
    "automated_decisions": both(
        "Inga beslut fattas enbart automatiskt", "No decision is made by automated means alone"
    ),
    "data_breaches": both("Se registret över incidenter", "See the register of breaches"),
    "vulnerable_subjects": both(
        "Barn och personer med skyddade uppgifter kan förekomma",
        "Children and people with protected identities may occur",
    ),
}


def _activity(
    key: str, label: dict[str, str], purpose: str, process: str, owner: str, systems: list[str], **more: Any
) -> dict[str, Any]:
    """`type` and `combines`: how data are processed, and whether with data from elsewhere · `stated`: more of the templates' fields."""
    stated = {"type_of_processing": more.pop("type"), "data_combination": more.pop("combines")} | more.pop("stated", {})
    if assessed := more.get("assessment"):
        stated["prior_consultation"] = both("Behövs inte: ingen hög risk kvarstår", "Not needed: no high risk remains")
        if assessed["status"] == "done":
            stated["risk_assessment"] = both(f"Se {assessed['reference']}", f"See {assessed['reference']}")
    usual = {
        "key": key,
        "label": label,
        "purpose": purpose,
        "process": process,
        "owner": owner,
        "systems": systems,
        "locations": _SWEDEN,
        "statements": _STATED | stated,
        "reviewed_on": "2026-09-01",
        "review_at": "2027-09-01",
        "valid_from": _SINCE,
        "source": _SOURCE,
    }
    return usual | more


_NOT_COMBINED = both("Nej", "No")
_NO_DPIA = {"reference": "DPIA-tröskel 2026", "status": "not_needed", "on": "2026-09-01"}
_DPIA = {"reference": "DPIA 2026-03", "status": "done", "on": "2026-03-16"}

ACTIVITIES = (
    _activity(
        "billing",
        both("Avtal och fakturering", "Agreements and billing"),
        "maintaining_service",
        "Avtal, fakturering och inkasso",
        "Ekonomichefen",
        ["Fakturering"],
        covers=["customer_invoice", "customer_number", "customer_email_address"],
        assessment=_NO_DPIA,
        type=both("Insamling, lagring, fakturering, gallring", "Collection, storage, billing, erasure"),
        combines=both("Avtal med trafik, för fakturan", "Agreements with traffic, for the invoice"),
    ),
    _activity(
        "network",
        both("Samtal, meddelanden och datatrafik", "Calls, messages and data traffic"),
        "maintaining_service",
        "Nätdrift",
        "Driftchefen",
        ["Samtalsdata"],
        covers=["traffic", "mac_address", "call_statistics", "quality_measures"],
        assessment=_DPIA,
        type=both("Förmedling, mätning, lagring, avidentifiering", "Conveyance, measurement, storage, anonymisation"),
        combines=_NOT_COMBINED,
    ),
    _activity(
        "contact_centre",
        both("Kontaktcenter åt företagskunder", "Contact centre for corporate customers"),
        "maintaining_service",
        "Leverans av kontaktcenter",
        "Produktchefen för företag",
        ["Inspelningar", "Kundtjänst"],
        covers=["agent_name", "agent_number", "email_conversation", "electronic_conversation", "helpdesk_ticket"],
        assessment=_DPIA,
        type=both("Lagring för kundens räkning", "Storage on the customer's behalf"),
        combines=_NOT_COMBINED,
    ),
    _activity(
        "development",
        both("Utveckling av tjänster", "Development of services"),
        "development",
        "Produktutveckling",
        "Produktchefen för privat",
        ["Samtalsdata"],
        main=False,
        assessment=_DPIA,
        interests={"reference": "LIA 2026-02", "status": "done", "on": "2026-02-10"},
        type=both("Statistik och analys", "Statistics and analysis"),
        combines=both("Användning med trafik, efter samtycke", "Usage with traffic, upon consent"),
    ),
    _activity(
        "customer_care",
        both("Kundtjänst", "Customer care"),
        "communication",
        "Kundtjänst",
        "Kundtjänstchefen",
        ["Kundtjänst", "Inspelningar"],
        assessment=_DPIA,
        interests={"reference": "LIA 2026-01", "status": "done", "on": "2026-02-10"},
        type=both("Inspelning, uppföljning, gallring", "Recording, follow-up, erasure"),
        combines=_NOT_COMBINED,
    ),
    _activity(
        "security",
        both("Informationssäkerhet", "Information security"),
        "information_security",
        "Säkerhet",
        "Säkerhetschefen",
        ["Integritetsplattformen", "Samtalsdata"],
        covers=["traffic", "authentication_log", "mac_address", "website_visit"],
        main=False,
        assessment=_NO_DPIA,
        type=both("Loggning och granskning", "Logging and review"),
        combines=_NOT_COMBINED,
    ),
    _activity(
        "entrances",
        both("Kamerabevakning av datahallar", "CCTV of data centres"),
        "information_security",
        "Fysisk säkerhet",
        "Säkerhetschefen",
        ["Kamerasystem i datahallarna"],
        covers=["camera_surveillance"],
        main=False,
        locations=[*_SWEDEN, "Datahall Virginia, USA / Data centre Virginia, United States"],
        type=both("Inspelning och gallring", "Recording and erasure"),
        combines=_NOT_COMBINED,
        stated={
            name: both("Inga", "None")
            for name in ("recipients", "third_party_transfer", "processors", "processing_contract")
        },
    ),
    _activity(
        "compliance",
        both("Lagstadgad lagring och myndigheters beslut", "Retention by law and decisions of authorities"),
        "legal_compliance",
        "Juridik",
        "Chefsjuristen",
        ["Fakturering", "Samtalsdata", "Integritetsplattformen"],
        main=False,
        assessment=_DPIA,
        type=both("Lagring och utlämnande enligt lag", "Storage and disclosure by law"),
        combines=_NOT_COMBINED,
    ),
)

CONTRACTS = tuple(
    {
        "reference": reference,
        "customer": str(tenant.id),
        "name": tenant.name,
        "contact": contact,
        "data_protection_officer": contact,
        "services": services,
        "instructions": both(
            "Lagra och förmedla enligt avtalets bilaga 1", "Store and convey as annex 1 of the agreement says"
        ),
        "objection_window": "30 days",
        "notices_to": contact,
        "valid_from": _SINCE,
        "source": _SOURCE,
    }
    for reference, tenant, contact, services in (
        ("A-2024-001", KUSTBANKEN, "privacy@kustbanken.example", ["mobile", "contact_centre", "helpdesk"]),
        ("A-2024-002", FJALLRESOR, "privacy@fjallresor.example", ["mobile", "contact_centre", "sms_notification"]),
    )
)
