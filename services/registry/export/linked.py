"""JSON-LD in the words of the W3C Data Privacy Vocabulary 2.3; what it has no word for is said in Dublin Core or RDF Schema.

Only the edge of an export speaks it: nothing inside the house stores triples.
"""

from collections.abc import Iterable
from typing import Any

from services.registry.export.sheets import Context, Row

DPV = "https://w3id.org/dpv#"
GDPR = "https://w3id.org/dpv/legal/eu/gdpr#"
CONTEXT: dict[str, Any] = {
    "dpv": DPV,
    "eu-gdpr": GDPR,
    "dct": "http://purl.org/dc/terms/",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "label": "rdfs:label",
    "comment": "rdfs:comment",
}
BASIS = {
    "consent": "eu-gdpr:A6-1-a",
    "contract": "eu-gdpr:A6-1-b",
    "legal_obligation": "eu-gdpr:A6-1-c",
    "vital_interests": "eu-gdpr:A6-1-d",
    "public_task": "eu-gdpr:A6-1-e",
    "legitimate_interest": "eu-gdpr:A6-1-f",
}
MECHANISM = {
    "adequacy": "eu-gdpr:A45-3",
    "scc": "eu-gdpr:A46-2-c",
    "bcr": "eu-gdpr:A46-2-b",
    "art_49": "eu-gdpr:A49-1-g",
}
STATUS = {
    "planned": "dpv:ActivityPlanned",
    "active": "dpv:ActivityOngoing",
    "suspended": "dpv:ActivityHalted",
    "ended": "dpv:ActivityCompleted",
}


def both(label: dict[str, str]) -> list[dict[str, str]]:
    return [{"@value": label[language], "@language": language} for language in ("sv", "en")]


def identified(*parts: str) -> str:
    """An IRI of ours: the register's things have names of their own, wherever they are served."""
    return "urn:wardline:" + ":".join(parts)


def typed(kind: str, labels: Iterable[dict[str, str]]) -> list[dict[str, Any]]:
    return [{"@type": f"dpv:{kind}", "label": both(label)} for label in labels]


def activity(row: Row, context: Context) -> dict[str, Any]:
    controller = context.about["controller"]
    return without_nothing(
        {
            "@id": identified("activity", row["key"]),
            "@type": ["dpv:Process", *row["dpv"]],
            "label": both(row["label"]),
            "dpv:hasDataController": {
                "@id": identified("operator"),
                "@type": "dpv:DataController",
                "dpv:hasName": controller["name"],
            },
            "dpv:hasActivityStatus": {"@id": STATUS[row["status"]]},
            "dpv:hasPurpose": {
                "@id": identified("purpose", row["purpose"]),
                "@type": row["purpose_dpv"] or "dpv:Purpose",
                "label": both(row["purpose_label"]),
                "comment": both(row["description"]),
            },
            "dpv:hasDataSubject": typed("DataSubject", row["subjects"]),
            "dpv:hasPersonalDataHandling": [_data(each) for each in row["data"]],
            "dpv:hasRecipient": [
                {"@type": "dpv:Recipient", "label": both(each["label"]), "comment": both(each["condition"])}
                for each in row["recipients"]
            ],
            "dpv:hasDataProcessor": [
                {
                    "@id": identified("subprocessor", each["key"]),
                    "@type": "dpv:DataProcessor",
                    "label": both(each["label"]),
                }
                for each in row["processors"]
            ],
            "dpv:hasThirdCountry": typed("ThirdCountry", [each["country"] for each in row["transfers"]]),
            "dpv:hasTechnicalOrganisationalMeasure": typed(
                "TechnicalOrganisationalMeasure", [each["label"] for each in context.about["measures"]]
            ),
            "dpv:hasResponsibleEntity": {"@type": "dpv:OrganisationalUnit", "dpv:hasName": row["owner"]}
            if row["owner"]
            else None,
            "dct:source": row["source"],
        }
    )


def _data(row: Row) -> dict[str, Any]:
    """One kind of data with its one basis and its storage conditions."""
    return {
        "@type": "dpv:PersonalDataHandling",
        "dpv:hasPersonalData": {
            "@id": identified("data", row["element"] or row["category"]),
            "@type": row["dpv"] or ("dpv:SpecialCategoryPersonalData" if row["special"] else "dpv:PersonalData"),
            "label": both(row["label"]),
        },
        "dpv:hasLegalBasis": {"@id": BASIS[row["basis"]]},
        "dct:references": row["legal_ref"],
        "dpv:hasStorageCondition": [
            {
                "@type": "dpv:StorageCondition",
                "label": both(each["label"]),
                "dpv:hasDuration": {"@type": "dpv:StorageDuration", "label": each["keep"]},
            }
            for each in row["erasure"]
        ],
    }


def processor_record(row: Row, context: Context) -> dict[str, Any]:
    return without_nothing(
        {
            "@id": identified("contract", row["contract"]),
            "@type": "dpv:Process",
            "label": row["contract"],
            "dpv:hasDataController": {
                "@type": "dpv:DataController",
                "dpv:hasName": row["controller"],
                "dpv:hasAddress": row["address"],
            },
            "dpv:hasDataProcessor": {
                "@id": identified("operator"),
                "@type": "dpv:DataProcessor",
                "dpv:hasName": context.about["controller"]["name"],
            },
            "dpv:hasProcessing": typed("Processing", row["processing"]),
            "dpv:hasPersonalData": typed("PersonalData", row["data"]),
            "dpv:hasDataSubject": typed("DataSubject", row["subjects"]),
            "dpv:hasThirdCountry": typed("ThirdCountry", [each["country"] for each in row["transfers"]]),
            "dpv:hasTechnicalOrganisationalMeasure": typed("TechnicalOrganisationalMeasure", row["measures"]),
            "dct:source": row["source"],
        }
    )


def subprocessor(row: Row, _: Context) -> dict[str, Any]:
    above = (
        {"@id": identified("subprocessor", row["parent"]), "@type": "dpv:DataSubProcessor"} if row["parent"] else None
    )
    return without_nothing(
        {
            "@id": identified("subprocessor", row["key"]),
            "@type": "dpv:DataSubProcessor",
            "dpv:hasName": row["legal_name"],
            "dpv:hasAddress": row["address"],
            "dpv:hasContact": row["contact"],
            "dct:isPartOf": above,
            "dpv:hasPurpose": {"@type": "dpv:Purpose", "label": both(row["purpose"])},
            "dpv:hasPersonalData": typed("PersonalData", row["data"]),
            "dpv:hasLocation": [{"@type": "dpv:Location", "label": both(each)} for each in row["places"]],
            "dct:source": row["source"],
        }
    )


def transfer(row: Row, _: Context) -> dict[str, Any]:
    return without_nothing(
        {
            "@id": identified("transfer", row["subprocessor"], row["place"]),
            "@type": "dpv:DataTransferRecord",
            "dpv:hasDataExporter": {"@type": "dpv:DataExporter", "dpv:hasName": row["exporter"]},
            "dpv:hasDataImporter": {
                "@id": identified("subprocessor", row["subprocessor"]),
                "@type": "dpv:DataImporter",
            },
            "dpv:hasThirdCountry": typed("ThirdCountry", [row["country"]]),
            "dpv:hasPersonalData": typed("PersonalData", row["data"]),
            "dpv:hasLegalBasis": {"@id": MECHANISM[row["mechanism"]]} if row["mechanism"] in MECHANISM else None,
            "dct:source": row["source"],
        }
    )


def measure(row: Row, _: Context) -> dict[str, Any]:
    return {
        "@id": identified("measure", row["key"]),
        "@type": "dpv:TechnicalOrganisationalMeasure",
        "label": both(row["label"]),
        "comment": both(row["description"]),
    }


def record(kind: str, *name: str):
    """A row that DPV has no structure for: a record of this kind, named by these fields, with all it says as a comment."""

    def node(row: Row, _: Context) -> dict[str, Any]:
        return without_nothing(
            {
                "@id": identified(kind.lower(), *(str(row[part]) for part in name)),
                "@type": f"dpv:{kind}",
                "label": " ".join(str(row[part]) for part in name),
            }
        )

    return node


def without_nothing(node: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if value not in (None, [])}
