"""The profiles of exports: which sheets a regulator gets, and what each column says.

A record of processing has a column for every field that some supervisory authority's template asks for: each cell is filled or
says that it is missing. Another part of the registry adds a profile here and its rows in `sources`.
"""

from collections.abc import Callable

from services.registry import wording
from services.registry.contract.policy import Text
from services.registry.export import linked
from services.registry.export.sheets import Cell, Column, Context, Profile, Row, Sheet, flag, from_words, said, text
from services.registry.rules import completeness

_LABELS = {
    "data_location": Text(sv="Var uppgifterna finns", en="Personal data location"),
    "data_sources": Text(sv="Varifrån uppgifterna kommer", en="Data sources"),
    "legal_basis": Text(sv="Rättslig grund", en="Legal basis"),
    "record_of_consent": Text(sv="Bevis om samtycke", en="Record of consent"),
    "special_categories": Text(sv="Känsliga uppgifter", en="Special categories of data"),
    "vulnerable_subjects": Text(sv="Sårbara registrerade", en="Vulnerable data subjects"),
    "automated_decisions": Text(sv="Automatiserade beslut, profilering", en="Automated decisions, profiling"),
    "joint_controller_agreement": Text(sv="Avtal om gemensamt ansvar", en="Joint controller agreement"),
    "processors": Text(sv="Personuppgiftsbiträden", en="Data processors"),
    "processing_contract": Text(sv="Biträdesavtal", en="Data processing contract"),
    "status": Text(sv="Behandlingens status", en="Processing status"),
    "measures_implementation": Text(sv="Hur åtgärderna genomförs", en="Implementation of measures"),
    "security_measures": Text(sv="Säkerhetsåtgärder", en="Security measures"),
    "technologies": Text(sv="System och teknik", en="Technologies used"),
    "data_breaches": Text(sv="Personuppgiftsincidenter", en="Data breaches"),
    "risk_assessment": Text(sv="Riskbedömning", en="Risk assessment and mitigation"),
    "assessment_result": Text(sv="Konsekvensbedömningens resultat", en="DPIA result"),
    "assessment": Text(sv="Konsekvensbedömning", en="Relevant DPIA"),
    "prior_consultation": Text(sv="Förhandssamråd", en="Prior consultation"),
    "external_dpo": Text(sv="Externt dataskyddsombud", en="External DPO organisation"),
    "business_process": Text(sv="Verksamhetsprocess", en="Business process"),
    "process_owner": Text(sv="Processens ägare", en="Owner of process"),
    "type_of_processing": Text(sv="Typ av behandling", en="Type of processing"),
    "data_subject_rights": Text(sv="De registrerades rättigheter", en="Data subject rights"),
    "third_party_transfer": Text(sv="Utlämnande till tredje part", en="Third party data transfer"),
    "dpo_contact": Text(sv="Dataskyddsombudets kontaktuppgifter", en="Data protection officer contact"),
    "representative": Text(sv="Företrädare", en="Representative"),
    "representative_contact": Text(sv="Företrädarens kontaktuppgifter", en="Representative contact"),
    "joint_controller": Text(sv="Gemensamt ansvariga", en="Joint controllers"),
    "joint_controller_contact": Text(sv="Gemensamt ansvarigas kontaktuppgifter", en="Joint controller contact"),
    "purposes": Text(sv="Ändamål", en="Purposes of processing"),
    "main_processing": Text(sv="Huvudsaklig eller stödjande", en="Main or auxiliary processing"),
    "data_categories": Text(sv="Kategorier av uppgifter", en="Personal data categories"),
    "subject_categories": Text(sv="Kategorier av registrerade", en="Data subject categories"),
    "recipients": Text(sv="Mottagare", en="Recipient categories"),
    "third_countries": Text(sv="Tredje länder", en="Third countries"),
    "safeguards": Text(sv="Lämpliga skyddsåtgärder", en="Appropriate safeguards"),
    "retention": Text(sv="Tidsfrister för radering", en="Retention and deletion periods"),
    "measures": Text(sv="Tekniska och organisatoriska åtgärder", en="Technical and organisational measures"),
    "controller_contact": Text(sv="Personuppgiftsansvarig", en="Data controller and contact"),
    "dpo": Text(sv="Dataskyddsombud", en="Data protection officer"),
    "nature_of_transfer": Text(sv="Överföringens art", en="Nature of transfer"),
    "legitimate_interests": Text(sv="Berättigade intressen", en="Legitimate interests"),
    "interests_assessment": Text(sv="Intresseavvägning", en="Legitimate interests assessment"),
    "data_combination": Text(sv="Sammanförande av uppgifter", en="Data combination"),
}


def label_of_field(key: str) -> Text:
    return _LABELS[key]


def _field(key: str) -> Column:
    def cell(row: Row, context: Context) -> Cell:
        return completeness.answer(key, row, context.about, context.language)

    return Column(key, _LABELS[key], cell, width=36, must=True)


def _transfers(row: Row, context: Context) -> Cell:
    return "; ".join(
        f"{each['country'][context.language]}: {wording.safeguard(each, context.language)}" for each in row["transfers"]
    )


def _due(row: Row, context: Context) -> Cell:
    return "; ".join(
        wording.DUE[each["reason"]].in_(context.language) + (f" ({each['since']})" if each["since"] else "")
        for each in row["due"]
    )


def _figure(name: str) -> Callable[[Row, Context], Cell]:
    """A number of a year's report; a hidden one is said to be hidden, which is not the same as missing."""

    def cell(row: Row, _: Context) -> Cell:
        return row[name] if row[name] is not None or row["year"] is None else "*"

    return cell


def _named(name: str):
    return lambda row, context: "; ".join(each["label"][context.language] for each in row[name])


def _clocks(row: Row, context: Context) -> Cell:
    return "; ".join(
        f"{each['label'][context.language]}: {wording.CLOCK[each['state']].in_(context.language)}"
        for each in row["clocks"]
    )


def _missing_of(row: Row, context: Context) -> Cell:
    return "; ".join(_CONTRACT_LABELS[each].in_(context.language) for each in row["missing"])


_CONTRACT_LABELS = {
    "organisation_number": Text(sv="Organisationsnummer", en="Organisation number"),
    "address": Text(sv="Adress", en="Address"),
    "contact": Text(sv="Kontaktuppgifter", en="Contact"),
    "representative": Text(sv="Företrädare", en="Representative"),
    "data_protection_officer": Text(sv="Dataskyddsombud", en="Data protection officer"),
    "instructions": Text(sv="Instruktioner", en="Instructions"),
}

RECORDS = Sheet(
    "processing-records",
    Text(sv="Behandlingar", en="Processing activities"),
    (
        Column("activity", Text(sv="Nyckel", en="Key"), said("key"), 20),
        Column("name", Text(sv="Behandling", en="Activity"), text("label"), 32),
        # What Article 30 itself asks for comes first.
        *(_field(key) for key in completeness.keys() if key in completeness.asked_by("A30")),
        *(_field(key) for key in completeness.keys() if key not in completeness.asked_by("A30")),
        Column("reviewed_on", Text(sv="Senast granskad", en="Last review"), said("reviewed_on"), 14, must=True),
        Column("review_at", Text(sv="Nästa granskning", en="Next review"), said("review_at"), 14, must=True),
        Column("valid_from", Text(sv="Gäller från", en="Valid from"), said("valid_from"), 14),
        Column("valid_to", Text(sv="Gäller till", en="Valid to"), said("valid_to"), 14),
        Column("source", Text(sv="Källa", en="Source"), said("source"), 28),
    ),
    linked.activity,
    "card",
    lambda row, context: row["label"][context.language],
)

BASES = Sheet(
    "processing-data",
    Text(sv="Uppgifter, grunder och frister", en="Data, legal bases and periods"),
    (
        Column("activity", Text(sv="Nyckel", en="Key"), said("activity"), 20),
        Column("name", Text(sv="Behandling", en="Activity"), text("name"), 28),
        Column("purpose", Text(sv="Ändamål", en="Purpose"), said("purpose"), 22),
        Column("category", Text(sv="Kategori", en="Category"), said("category"), 20),
        Column("element", Text(sv="Uppgift", en="Element"), said("element"), 20),
        Column("context", Text(sv="Sammanhang", en="Context"), said("context"), 14),
        Column("data", Text(sv="Uppgifter", en="Data"), text("label"), 28),
        Column("special", Text(sv="Känsliga", en="Special"), flag("special"), 10),
        Column("content", Text(sv="Innehåll", en="Content"), flag("content"), 10),
        Column("legal_basis", Text(sv="Grund (nyckel)", en="Basis (key)"), said("basis"), 18),
        Column("basis", Text(sv="Rättslig grund", en="Legal basis"), from_words("basis", wording.BASIS), 26),
        Column("legal_ref", Text(sv="Lagrum", en="Legal reference"), said("legal_ref"), 26),
        Column(
            "erasure",
            Text(sv="Radering", en="Erasure"),
            lambda row, context: "; ".join(wording.erased(rule, context.language) for rule in row["erasure"]),
            40,
        ),
        Column("source", Text(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.record("Process", "activity", "category", "element", "context"),
)

PROCESSOR_RECORDS = Sheet(
    "processor-records",
    Text(sv="Behandlingar för kunders räkning", en="Processing on behalf of customers"),
    (
        Column("contract", Text(sv="Avtal", en="Agreement"), said("contract"), 18),
        Column("controller", Text(sv="Personuppgiftsansvarig", en="Controller"), said("controller"), 28),
        *(
            Column(name, label, said(name), 26, must=name != "representative")
            for name, label in _CONTRACT_LABELS.items()
            if name != "instructions"
        ),
        Column("instructions", _CONTRACT_LABELS["instructions"], text("instructions"), 30, must=True),
        Column("services", Text(sv="Tjänster", en="Services"), text("services"), 28),
        Column(
            "processing",
            Text(sv="Kategorier av behandling", en="Categories of processing"),
            text("processing"),
            40,
            must=True,
        ),
        Column("data", Text(sv="Kategorier av uppgifter", en="Categories of data"), text("data"), 36, must=True),
        Column("subjects", Text(sv="Registrerade", en="Data subjects"), text("subjects"), 30, must=True),
        Column("processors", Text(sv="Underbiträden", en="Sub-processors"), _named("processors"), 36),
        Column(
            "transfers", Text(sv="Överföringar till tredje land", en="Transfers to third countries"), _transfers, 36
        ),
        Column("measures", Text(sv="Åtgärder", en="Measures"), text("measures"), 40, must=True),
        Column("objection_window", Text(sv="Tid för invändning", en="Objection window"), said("objection_window"), 14),
        Column("missing", Text(sv="Saknas", en="Missing"), _missing_of, 26),
        Column("valid_from", Text(sv="Gäller från", en="Valid from"), said("valid_from"), 14),
        Column("valid_to", Text(sv="Gäller till", en="Valid to"), said("valid_to"), 14),
        Column("source", Text(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.processor_record,
    "card",
    lambda row, context: f"{row['controller']} ({row['contract']})",
)

SUBPROCESSORS = Sheet(
    "sub-processors",
    Text(sv="Underbiträden", en="Sub-processors"),
    (
        Column("key", Text(sv="Nyckel", en="Key"), said("key"), 14),
        Column("legal_name", Text(sv="Namn", en="Legal name"), said("legal_name"), 30),
        Column("tier", Text(sv="Led", en="Tier"), said("tier"), 6),
        Column("chain", Text(sv="Kedja", en="Chain"), lambda row, _: " → ".join(row["chain"]), 36),
        Column("status", Text(sv="Status", en="Status"), from_words("status", wording.SUBPROCESSOR_STATUS), 16),
        Column("purpose", Text(sv="Ändamål", en="Purpose"), text("purpose"), 28),
        Column("data", Text(sv="Uppgifter", en="Data"), text("data"), 32),
        Column("services", Text(sv="Tjänster (inga: alla)", en="Services (none: all)"), said("services"), 24),
        Column("customers", Text(sv="Berörda kunder", en="Customers in scope"), said("customers"), 10),
        Column("places", Text(sv="Lagring och arbete", en="Storage and work"), text("places"), 22),
        Column("support_from", Text(sv="Åtkomst från", en="Access from"), text("support_from"), 18),
        Column("address", Text(sv="Adress", en="Address"), said("address"), 28, must=True),
        Column("contact", Text(sv="Kontakt", en="Contact"), said("contact"), 24, must=True),
        Column("agreement", Text(sv="Biträdesavtal", en="Art. 28 agreement"), said("agreement"), 20, must=True),
        Column("agreed_on", Text(sv="Avtalsdag", en="Agreed on"), said("agreed_on"), 12, must=True),
        Column("certifications", Text(sv="Certifieringar", en="Certifications"), said("certifications"), 24),
        Column("transfers", Text(sv="Överföringar", en="Transfers"), _transfers, 36),
        Column("started_on", Text(sv="Från", en="From"), said("started_on"), 12),
        Column("ends_on", Text(sv="Till", en="To"), said("ends_on"), 12),
        Column("source", Text(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.subprocessor,
    "card",
    lambda row, context: row["legal_name"],
)

CHANGES = Sheet(
    "sub-processor-changes",
    Text(sv="Ändringar av underbiträden", en="Changes of sub-processors"),
    (
        Column("change", Text(sv="Ändring", en="Change"), said("change"), 38),
        Column("subprocessor", Text(sv="Underbiträde", en="Sub-processor"), said("subprocessor"), 18),
        Column("kind", Text(sv="Slag", en="Kind"), from_words("kind", wording.CHANGE_KIND), 16),
        Column("status", Text(sv="Status", en="Status"), from_words("status", wording.SUBPROCESSOR_STATUS), 18),
        Column("reason", Text(sv="Skäl", en="Reason"), text("reason"), 36),
        Column("effective_on", Text(sv="Avses gälla från", en="Intended from"), said("effective_on"), 12),
        Column("proposed_at", Text(sv="Föreslagen", en="Proposed"), said("proposed_at"), 20),
        Column("notice_at", Text(sv="Kunder underrättade", en="Customers told"), said("notice_at"), 20),
        Column("decided_at", Text(sv="Avgjord", en="Decided"), said("decided_at"), 20),
        Column("told", Text(sv="Underrättelser", en="Notices"), said("told"), 10),
        Column("objections", Text(sv="Invändningar", en="Objections"), said("objections"), 10),
        Column("upheld", Text(sv="Bifallna", en="Upheld"), said("upheld"), 10),
    ),
    linked.record("Record", "change"),
)

TRANSFERS = Sheet(
    "transfers",
    Text(sv="Överföringar till tredje land", en="Transfers to third countries"),
    (
        Column("exporter", Text(sv="Exportör", en="Exporter"), said("exporter"), 20),
        Column("importer", Text(sv="Importör", en="Importer"), said("importer"), 28),
        Column("country", Text(sv="Land", en="Country"), text("country"), 14),
        Column("data", Text(sv="Uppgifter", en="Data"), text("data"), 30),
        Column("mechanism", Text(sv="Stöd", en="Mechanism"), from_words("mechanism", wording.MECHANISM), 26),
        Column("module", Text(sv="Modul", en="Module"), said("module"), 8),
        Column("decision", Text(sv="Beslut", en="Decision"), text("decision_label"), 26),
        Column("decision_from", Text(sv="Beslutet gäller från", en="Decision from"), said("decision_from"), 12),
        Column("decision_to", Text(sv="Beslutet gäller till", en="Decision to"), said("decision_to"), 12),
        Column("listed_on", Text(sv="Certifiering kontrollerad", en="Certification looked up"), said("listed_on"), 12),
        Column("assessment", Text(sv="Bedömning (TIA)", en="Impact assessment"), said("assessment"), 18, must=True),
        Column(
            "supplementary", Text(sv="Ytterligare åtgärder", en="Supplementary measures"), said("supplementary"), 26
        ),
        Column("onward", Text(sv="Vidare överföring", en="Onward transfer"), text("onward"), 24),
        Column("review_at", Text(sv="Granskas", en="Review at"), said("review_at"), 12, must=True),
        Column("due", Text(sv="Att göra", en="Due"), _due, 34),
        Column("source", Text(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.transfer,
    "card",
    lambda row, context: f"{row['importer']}, {row['country'][context.language]}",
)

MEASURES = Sheet(
    "measures",
    Text(sv="Åtgärder, artikel 32", en="Measures, Art. 32"),
    (
        Column("key", Text(sv="Nyckel", en="Key"), said("key"), 20),
        Column("label", Text(sv="Åtgärd", en="Measure"), text("label"), 30),
        Column("description", Text(sv="Beskrivning", en="Description"), text("description"), 60),
        Column("source", Text(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.measure,
)

FINDINGS = Sheet(
    "findings",
    Text(sv="Att reda ut", en="Findings"),
    (
        Column("key", Text(sv="Nyckel", en="Key"), said("key"), 22),
        Column("statement", Text(sv="Iakttagelse", en="Finding"), text("statement"), 60),
        Column("decision", Text(sv="Tills vidare", en="Until decided"), text("decision"), 40),
        Column("owner", Text(sv="Ansvarig", en="Owner"), said("owner"), 24),
        Column("due_on", Text(sv="Senast", en="Due"), said("due_on"), 12),
        Column("kind", Text(sv="Slag", en="Kind"), said("kind"), 14),
        Column("rows", Text(sv="Rader i regelboken", en="Rows of the book"), said("rows"), 30),
        Column("source", Text(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.record("Record", "key"),
)

COMPLETENESS = Sheet(
    "completeness",
    Text(sv="Fullständighet per mall", en="Completeness per template"),
    (
        Column("template", Text(sv="Mall", en="Template"), said("template"), 10),
        Column("fields", Text(sv="Fält", en="Fields"), said("fields"), 8),
        Column("cells", Text(sv="Celler", en="Cells"), said("cells"), 10),
        Column("filled", Text(sv="Ifyllda", en="Filled"), said("filled"), 10),
        Column(
            "missing",
            Text(sv="Saknas (antal behandlingar)", en="Missing (number of activities)"),
            lambda row, context: "; ".join(
                f"{_LABELS[key].in_(context.language)} ({count})" for key, count in row["missing"].items()
            ),
            80,
        ),
    ),
    linked.record("Record", "template"),
)

ORDER_KINDS = Sheet(
    "transparency",
    Text(sv="Utlämnande till myndigheter", en="Disclosure to authorities"),
    (
        Column("key", Text(sv="Nyckel", en="Key"), said("key"), 24),
        Column("instrument", Text(sv="Slag av begäran", en="Instrument"), text("label"), 36),
        Column("country", Text(sv="Land", en="Country"), said("country"), 8),
        Column("issuers", Text(sv="Kan utfärdas av", en="May be issued by"), said("issuers"), 30),
        Column("legal_ref", Text(sv="Lagrum", en="Legal reference"), said("legal_ref"), 30),
        Column("year", Text(sv="År", en="Year"), said("year"), 8, must=True),
        *(
            Column(name, label, _figure(name), 12, must=True)
            for name, label in {
                "requests": Text(sv="Antal", en="Requests"),
                "executed": Text(sv="Verkställda", en="Executed"),
                "nothing": Text(sv="Inga uppgifter", en="No data"),
                "refused": Text(sv="Avslagna", en="Refused"),
                "withdrawn": Text(sv="Återkallade", en="Withdrawn"),
                "pending": Text(sv="Pågående", en="Pending"),
                "median_days": Text(sv="Mediantid, dagar", en="Median time, days"),
            }.items()
        ),
    ),
    linked.record("Record", "key", "year"),
)

BREACHES = Sheet(
    "breaches",
    Text(sv="Personuppgiftsincidenter", en="Personal data breaches"),
    (
        Column("breach", Text(sv="Incident", en="Breach"), said("id"), 38),
        Column("title", Text(sv="Rubrik", en="Title"), said("title"), 30),
        Column("aware_at", Text(sv="Känd sedan", en="Aware since"), said("aware_at"), 20),
        Column("occurred_from", Text(sv="Inträffade från", en="Occurred from"), said("occurred_from"), 20),
        Column("occurred_to", Text(sv="Inträffade till", en="Occurred until"), said("occurred_to"), 20, must=True),
        Column("facts", Text(sv="Omständigheter", en="Facts"), said("facts"), 50),
        Column("effects", Text(sv="Effekter", en="Effects"), said("effects"), 40),
        Column("remedies", Text(sv="Vidtagna åtgärder", en="Remedial action"), said("remedies"), 40),
        Column("categories", Text(sv="Kategorier av uppgifter", en="Categories of data"), text("categories"), 30),
        Column("subjects", Text(sv="Antal registrerade", en="People concerned"), said("subjects"), 12, must=True),
        Column("records", Text(sv="Antal poster", en="Records concerned"), said("records"), 12, must=True),
        Column("risk", Text(sv="Risk", en="Risk"), from_words("risk", wording.RISK), 14),
        Column("clocks", Text(sv="Underrättelser", en="Notices"), _clocks, 60),
        Column("closed_at", Text(sv="Avslutad", en="Closed"), said("closed_at"), 20, must=True),
        Column("conclusion", Text(sv="Slutsats", en="Conclusion"), said("conclusion"), 40, must=True),
    ),
    linked.record("DataBreachRecord", "id"),
    "card",
    lambda row, context: row["title"],
)

CLOCKS = Sheet(
    "breach-notices",
    Text(sv="Tidsfrister och underrättelser", en="Clocks and notices"),
    (
        Column("breach", Text(sv="Incident", en="Breach"), said("breach"), 38),
        Column("clock", Text(sv="Skyldighet", en="Duty"), text("label"), 34),
        Column("to", Text(sv="Till", en="To"), said("to"), 28),
        Column("legal_ref", Text(sv="Lagrum", en="Legal reference"), said("legal_ref"), 26),
        Column("due_at", Text(sv="Senast", en="Due"), said("due_at"), 22),
        Column("told_at", Text(sv="Underrättad", en="Told"), said("told_at"), 22, must=True),
        Column("state", Text(sv="Läge", en="State"), from_words("state", wording.CLOCK), 16),
        Column("reference", Text(sv="Referens", en="Reference"), said("reference"), 20, must=True),
    ),
    linked.record("DataBreachNotice", "breach", "clock"),
)

REVIEWS = Sheet(
    "access-reviews",
    Text(sv="Granskningar av behörigheter", en="Reviews of access"),
    (
        Column("review", Text(sv="Granskning", en="Review"), said("id"), 38),
        Column("opened_at", Text(sv="Öppnad", en="Opened"), said("opened_at"), 22),
        Column("due_at", Text(sv="Senast", en="Due"), said("due_at"), 22),
        Column("closed_at", Text(sv="Avslutad", en="Closed"), said("closed_at"), 22, must=True),
        Column("grants", Text(sv="Behörigheter", en="Grants"), said("grants"), 12),
        Column("kept", Text(sv="Bekräftade", en="Confirmed"), said("kept"), 12),
        Column("not_kept", Text(sv="Återkallade", en="Revoked"), said("not_kept"), 12),
        Column("undecided", Text(sv="Ej avgjorda", en="Undecided"), said("undecided"), 12),
    ),
    linked.record("Record", "id"),
)

REVIEWED = Sheet(
    "access-review-decisions",
    Text(sv="Beslut i granskningar", en="Decisions in reviews"),
    (
        Column("review", Text(sv="Granskning", en="Review"), said("review"), 38),
        Column("grant", Text(sv="Behörighet", en="Grant"), said("grant"), 38),
        Column("person", Text(sv="Person (konto)", en="Person (account)"), said("person"), 38),
        Column("role", Text(sv="Roll", en="Role"), said("role"), 20),
        Column(
            "kept",
            Text(sv="Bekräftad", en="Confirmed"),
            lambda row, context: None if row["kept"] is None else flag("kept")(row, context),
            12,
            must=True,
        ),
        Column("decided_at", Text(sv="Avgjord", en="Decided"), said("decided_at"), 22, must=True),
        Column("reason", Text(sv="Skäl", en="Reason"), said("reason"), 30),
    ),
    linked.record("Record", "review", "grant"),
)

GRANTS = Sheet(
    "access-grants",
    Text(sv="Behörigheter", en="Grants of access"),
    (
        Column("grant", Text(sv="Behörighet", en="Grant"), said("id"), 38),
        Column("person", Text(sv="Person (konto)", en="Person (account)"), said("person"), 38),
        Column("role", Text(sv="Roll", en="Role"), said("role"), 20),
        Column("system", Text(sv="System", en="System"), said("system"), 16),
        Column("facility", Text(sv="Anläggning", en="Facility"), said("facility"), 16),
        Column("areas", Text(sv="Utrymmen", en="Areas"), said("areas"), 20),
        Column("purpose", Text(sv="Ändamål", en="Purpose"), said("purpose"), 24),
        Column("justification", Text(sv="Motivering", en="Justification"), said("justification"), 30),
        Column("state", Text(sv="Läge", en="State"), from_words("state", wording.GRANT), 14),
        Column("valid_from", Text(sv="Gäller från", en="Valid from"), said("valid_from"), 22),
        Column("valid_to", Text(sv="Gäller till", en="Valid to"), said("valid_to"), 22),
        Column("ended_at", Text(sv="Upphörde", en="Ended"), said("ended_at"), 22),
        Column("ended_for", Text(sv="Därför att", en="Because"), said("ended_for"), 16),
    ),
    linked.record("Record", "id"),
)

PROFILES = {
    profile.key: profile
    for profile in (
        Profile(
            "art30-controller",
            Text(sv="Register över behandling", en="Record of processing activities"),
            "GDPR Art. 30(1)",
            (RECORDS, BASES, SUBPROCESSORS, TRANSFERS, MEASURES, FINDINGS, COMPLETENESS),
        ),
        Profile(
            "art30-processor",
            Text(sv="Register över behandling som personuppgiftsbiträde", en="Record of processing as processor"),
            "GDPR Art. 30(2)",
            (PROCESSOR_RECORDS, SUBPROCESSORS, TRANSFERS, MEASURES),
        ),
        Profile(
            "subprocessors",
            Text(sv="Underbiträden och ändringar", en="Sub-processors and their changes"),
            "GDPR Art. 28(2), 28(4)",
            (SUBPROCESSORS, CHANGES),
        ),
        Profile(
            "transfers",
            Text(sv="Överföringar till tredje land", en="Transfers to third countries"),
            "GDPR Chapter V",
            (TRANSFERS,),
        ),
        Profile(
            "breaches",
            Text(sv="Register över personuppgiftsincidenter", en="Register of personal data breaches"),
            "GDPR Art. 33(5)",
            (BREACHES, CLOCKS),
            scope="breach.read",
        ),
        Profile(
            "access-reviews",
            Text(sv="Behörigheter och granskningar", en="Access and its reviews"),
            "GDPR Art. 32(1)(d)",
            (REVIEWS, REVIEWED, GRANTS),
            scope="access.read",
        ),
        Profile(
            "transparency",
            Text(sv="Insynsrapport", en="Transparency report"),
            "House: disclosure",
            (ORDER_KINDS,),
            Text(
                sv="Antal räknas av den del som handlägger begäranden, för år som är slut. * är ett tal som är för litet för att visas, eller som skulle röja ett sådant.",
                en="Counts come from the part that handles orders, for years that are over. * is a number too small to be shown, or one that would tell such a number.",
            ),
        ),
    )
}
