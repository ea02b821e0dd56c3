"""The profiles of exports: which sheets a regulator gets, and what each column says.

A record of processing has a column for every field that some supervisory authority's template asks for: each cell is filled or
says that it is missing. Another part of the registry adds a profile here and its rows in `sources`.
"""

from collections.abc import Callable

from services.registry import wording
from services.registry.export import linked
from services.registry.export.sheets import Cell, Column, Context, Profile, Row, Sheet, flag, from_words, said, text
from services.registry.labels import Label
from services.registry.rules import completeness

_LABELS = {
    "data_location": Label(sv="Var uppgifterna finns", en="Personal data location"),
    "data_sources": Label(sv="Varifrån uppgifterna kommer", en="Data sources"),
    "legal_basis": Label(sv="Rättslig grund", en="Legal basis"),
    "record_of_consent": Label(sv="Bevis om samtycke", en="Record of consent"),
    "special_categories": Label(sv="Känsliga uppgifter", en="Special categories of data"),
    "vulnerable_subjects": Label(sv="Sårbara registrerade", en="Vulnerable data subjects"),
    "automated_decisions": Label(sv="Automatiserade beslut, profilering", en="Automated decisions, profiling"),
    "joint_controller_agreement": Label(sv="Avtal om gemensamt ansvar", en="Joint controller agreement"),
    "processors": Label(sv="Personuppgiftsbiträden", en="Data processors"),
    "processing_contract": Label(sv="Biträdesavtal", en="Data processing contract"),
    "status": Label(sv="Behandlingens status", en="Processing status"),
    "measures_implementation": Label(sv="Hur åtgärderna genomförs", en="Implementation of measures"),
    "security_measures": Label(sv="Säkerhetsåtgärder", en="Security measures"),
    "technologies": Label(sv="System och teknik", en="Technologies used"),
    "data_breaches": Label(sv="Personuppgiftsincidenter", en="Data breaches"),
    "risk_assessment": Label(sv="Riskbedömning", en="Risk assessment and mitigation"),
    "assessment_result": Label(sv="Konsekvensbedömningens resultat", en="DPIA result"),
    "assessment": Label(sv="Konsekvensbedömning", en="Relevant DPIA"),
    "prior_consultation": Label(sv="Förhandssamråd", en="Prior consultation"),
    "external_dpo": Label(sv="Externt dataskyddsombud", en="External DPO organisation"),
    "business_process": Label(sv="Verksamhetsprocess", en="Business process"),
    "process_owner": Label(sv="Processens ägare", en="Owner of process"),
    "type_of_processing": Label(sv="Typ av behandling", en="Type of processing"),
    "data_subject_rights": Label(sv="De registrerades rättigheter", en="Data subject rights"),
    "third_party_transfer": Label(sv="Utlämnande till tredje part", en="Third party data transfer"),
    "dpo_contact": Label(sv="Dataskyddsombudets kontaktuppgifter", en="Data protection officer contact"),
    "representative": Label(sv="Företrädare", en="Representative"),
    "representative_contact": Label(sv="Företrädarens kontaktuppgifter", en="Representative contact"),
    "joint_controller": Label(sv="Gemensamt ansvariga", en="Joint controllers"),
    "joint_controller_contact": Label(sv="Gemensamt ansvarigas kontaktuppgifter", en="Joint controller contact"),
    "purposes": Label(sv="Ändamål", en="Purposes of processing"),
    "main_processing": Label(sv="Huvudsaklig eller stödjande", en="Main or auxiliary processing"),
    "data_categories": Label(sv="Kategorier av uppgifter", en="Personal data categories"),
    "subject_categories": Label(sv="Kategorier av registrerade", en="Data subject categories"),
    "recipients": Label(sv="Mottagare", en="Recipient categories"),
    "third_countries": Label(sv="Tredje länder", en="Third countries"),
    "safeguards": Label(sv="Lämpliga skyddsåtgärder", en="Appropriate safeguards"),
    "retention": Label(sv="Tidsfrister för radering", en="Retention and deletion periods"),
    "measures": Label(sv="Tekniska och organisatoriska åtgärder", en="Technical and organisational measures"),
    "controller_contact": Label(sv="Personuppgiftsansvarig", en="Data controller and contact"),
    "dpo": Label(sv="Dataskyddsombud", en="Data protection officer"),
    "nature_of_transfer": Label(sv="Överföringens art", en="Nature of transfer"),
    "legitimate_interests": Label(sv="Berättigade intressen", en="Legitimate interests"),
    "interests_assessment": Label(sv="Intresseavvägning", en="Legitimate interests assessment"),
    "data_combination": Label(sv="Sammanförande av uppgifter", en="Data combination"),
}


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
    "organisation_number": Label(sv="Organisationsnummer", en="Organisation number"),
    "address": Label(sv="Adress", en="Address"),
    "contact": Label(sv="Kontaktuppgifter", en="Contact"),
    "representative": Label(sv="Företrädare", en="Representative"),
    "data_protection_officer": Label(sv="Dataskyddsombud", en="Data protection officer"),
    "instructions": Label(sv="Instruktioner", en="Instructions"),
}

RECORDS = Sheet(
    "processing-records",
    Label(sv="Behandlingar", en="Processing activities"),
    (
        Column("activity", Label(sv="Nyckel", en="Key"), said("key"), 20),
        Column("name", Label(sv="Behandling", en="Activity"), text("label"), 32),
        # What Article 30 itself asks for comes first.
        *(_field(key) for key in completeness.keys() if key in completeness.asked_by("A30")),
        *(_field(key) for key in completeness.keys() if key not in completeness.asked_by("A30")),
        Column("reviewed_on", Label(sv="Senast granskad", en="Last review"), said("reviewed_on"), 14, must=True),
        Column("review_at", Label(sv="Nästa granskning", en="Next review"), said("review_at"), 14, must=True),
        Column("valid_from", Label(sv="Gäller från", en="Valid from"), said("valid_from"), 14),
        Column("valid_to", Label(sv="Gäller till", en="Valid to"), said("valid_to"), 14),
        Column("source", Label(sv="Källa", en="Source"), said("source"), 28),
    ),
    linked.activity,
    "card",
    lambda row, context: row["label"][context.language],
)

BASES = Sheet(
    "processing-data",
    Label(sv="Uppgifter, grunder och frister", en="Data, legal bases and periods"),
    (
        Column("activity", Label(sv="Nyckel", en="Key"), said("activity"), 20),
        Column("name", Label(sv="Behandling", en="Activity"), text("name"), 28),
        Column("purpose", Label(sv="Ändamål", en="Purpose"), said("purpose"), 22),
        Column("category", Label(sv="Kategori", en="Category"), said("category"), 20),
        Column("element", Label(sv="Uppgift", en="Element"), said("element"), 20),
        Column("context", Label(sv="Sammanhang", en="Context"), said("context"), 14),
        Column("data", Label(sv="Uppgifter", en="Data"), text("label"), 28),
        Column("special", Label(sv="Känsliga", en="Special"), flag("special"), 10),
        Column("content", Label(sv="Innehåll", en="Content"), flag("content"), 10),
        Column("legal_basis", Label(sv="Grund (nyckel)", en="Basis (key)"), said("basis"), 18),
        Column("basis", Label(sv="Rättslig grund", en="Legal basis"), from_words("basis", wording.BASIS), 26),
        Column("legal_ref", Label(sv="Lagrum", en="Legal reference"), said("legal_ref"), 26),
        Column(
            "erasure",
            Label(sv="Radering", en="Erasure"),
            lambda row, context: "; ".join(wording.erased(rule, context.language) for rule in row["erasure"]),
            40,
        ),
        Column("source", Label(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.record("Process", "activity", "category", "element", "context"),
)

PROCESSOR_RECORDS = Sheet(
    "processor-records",
    Label(sv="Behandlingar för kunders räkning", en="Processing on behalf of customers"),
    (
        Column("contract", Label(sv="Avtal", en="Agreement"), said("contract"), 18),
        Column("controller", Label(sv="Personuppgiftsansvarig", en="Controller"), said("controller"), 28),
        *(
            Column(name, label, said(name), 26, must=name != "representative")
            for name, label in _CONTRACT_LABELS.items()
            if name != "instructions"
        ),
        Column("instructions", _CONTRACT_LABELS["instructions"], text("instructions"), 30, must=True),
        Column("services", Label(sv="Tjänster", en="Services"), text("services"), 28),
        Column(
            "processing",
            Label(sv="Kategorier av behandling", en="Categories of processing"),
            text("processing"),
            40,
            must=True,
        ),
        Column("data", Label(sv="Kategorier av uppgifter", en="Categories of data"), text("data"), 36, must=True),
        Column("subjects", Label(sv="Registrerade", en="Data subjects"), text("subjects"), 30, must=True),
        Column("processors", Label(sv="Underbiträden", en="Sub-processors"), _named("processors"), 36),
        Column(
            "transfers", Label(sv="Överföringar till tredje land", en="Transfers to third countries"), _transfers, 36
        ),
        Column("measures", Label(sv="Åtgärder", en="Measures"), text("measures"), 40, must=True),
        Column("objection_window", Label(sv="Tid för invändning", en="Objection window"), said("objection_window"), 14),
        Column("missing", Label(sv="Saknas", en="Missing"), _missing_of, 26),
        Column("valid_from", Label(sv="Gäller från", en="Valid from"), said("valid_from"), 14),
        Column("valid_to", Label(sv="Gäller till", en="Valid to"), said("valid_to"), 14),
        Column("source", Label(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.processor_record,
    "card",
    lambda row, context: f"{row['controller']} ({row['contract']})",
)

SUBPROCESSORS = Sheet(
    "sub-processors",
    Label(sv="Underbiträden", en="Sub-processors"),
    (
        Column("key", Label(sv="Nyckel", en="Key"), said("key"), 14),
        Column("legal_name", Label(sv="Namn", en="Legal name"), said("legal_name"), 30),
        Column("tier", Label(sv="Led", en="Tier"), said("tier"), 6),
        Column("chain", Label(sv="Kedja", en="Chain"), lambda row, _: " → ".join(row["chain"]), 36),
        Column("status", Label(sv="Status", en="Status"), from_words("status", wording.SUBPROCESSOR_STATUS), 16),
        Column("purpose", Label(sv="Ändamål", en="Purpose"), text("purpose"), 28),
        Column("data", Label(sv="Uppgifter", en="Data"), text("data"), 32),
        Column("services", Label(sv="Tjänster (inga: alla)", en="Services (none: all)"), said("services"), 24),
        Column("customers", Label(sv="Berörda kunder", en="Customers in scope"), said("customers"), 10),
        Column("places", Label(sv="Lagring och arbete", en="Storage and work"), text("places"), 22),
        Column("support_from", Label(sv="Åtkomst från", en="Access from"), text("support_from"), 18),
        Column("address", Label(sv="Adress", en="Address"), said("address"), 28, must=True),
        Column("contact", Label(sv="Kontakt", en="Contact"), said("contact"), 24, must=True),
        Column("agreement", Label(sv="Biträdesavtal", en="Art. 28 agreement"), said("agreement"), 20, must=True),
        Column("agreed_on", Label(sv="Avtalsdag", en="Agreed on"), said("agreed_on"), 12, must=True),
        Column("certifications", Label(sv="Certifieringar", en="Certifications"), said("certifications"), 24),
        Column("transfers", Label(sv="Överföringar", en="Transfers"), _transfers, 36),
        Column("started_on", Label(sv="Från", en="From"), said("started_on"), 12),
        Column("ends_on", Label(sv="Till", en="To"), said("ends_on"), 12),
        Column("source", Label(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.subprocessor,
    "card",
    lambda row, context: row["legal_name"],
)

CHANGES = Sheet(
    "sub-processor-changes",
    Label(sv="Ändringar av underbiträden", en="Changes of sub-processors"),
    (
        Column("change", Label(sv="Ändring", en="Change"), said("change"), 38),
        Column("subprocessor", Label(sv="Underbiträde", en="Sub-processor"), said("subprocessor"), 18),
        Column("kind", Label(sv="Slag", en="Kind"), from_words("kind", wording.CHANGE_KIND), 16),
        Column("status", Label(sv="Status", en="Status"), from_words("status", wording.SUBPROCESSOR_STATUS), 18),
        Column("reason", Label(sv="Skäl", en="Reason"), text("reason"), 36),
        Column("effective_on", Label(sv="Avses gälla från", en="Intended from"), said("effective_on"), 12),
        Column("proposed_at", Label(sv="Föreslagen", en="Proposed"), said("proposed_at"), 20),
        Column("notice_at", Label(sv="Kunder underrättade", en="Customers told"), said("notice_at"), 20),
        Column("decided_at", Label(sv="Avgjord", en="Decided"), said("decided_at"), 20),
        Column("told", Label(sv="Underrättelser", en="Notices"), said("told"), 10),
        Column("objections", Label(sv="Invändningar", en="Objections"), said("objections"), 10),
        Column("upheld", Label(sv="Bifallna", en="Upheld"), said("upheld"), 10),
    ),
    linked.record("Record", "change"),
)

TRANSFERS = Sheet(
    "transfers",
    Label(sv="Överföringar till tredje land", en="Transfers to third countries"),
    (
        Column("exporter", Label(sv="Exportör", en="Exporter"), said("exporter"), 20),
        Column("importer", Label(sv="Importör", en="Importer"), said("importer"), 28),
        Column("country", Label(sv="Land", en="Country"), text("country"), 14),
        Column("data", Label(sv="Uppgifter", en="Data"), text("data"), 30),
        Column("mechanism", Label(sv="Stöd", en="Mechanism"), from_words("mechanism", wording.MECHANISM), 26),
        Column("module", Label(sv="Modul", en="Module"), said("module"), 8),
        Column("decision", Label(sv="Beslut", en="Decision"), text("decision_label"), 26),
        Column("decision_from", Label(sv="Beslutet gäller från", en="Decision from"), said("decision_from"), 12),
        Column("decision_to", Label(sv="Beslutet gäller till", en="Decision to"), said("decision_to"), 12),
        Column("listed_on", Label(sv="Certifiering kontrollerad", en="Certification looked up"), said("listed_on"), 12),
        Column("assessment", Label(sv="Bedömning (TIA)", en="Impact assessment"), said("assessment"), 18, must=True),
        Column(
            "supplementary", Label(sv="Ytterligare åtgärder", en="Supplementary measures"), said("supplementary"), 26
        ),
        Column("onward", Label(sv="Vidare överföring", en="Onward transfer"), text("onward"), 24),
        Column("review_at", Label(sv="Granskas", en="Review at"), said("review_at"), 12, must=True),
        Column("due", Label(sv="Att göra", en="Due"), _due, 34),
        Column("source", Label(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.transfer,
    "card",
    lambda row, context: f"{row['importer']}, {row['country'][context.language]}",
)

MEASURES = Sheet(
    "measures",
    Label(sv="Åtgärder, artikel 32", en="Measures, Art. 32"),
    (
        Column("key", Label(sv="Nyckel", en="Key"), said("key"), 20),
        Column("label", Label(sv="Åtgärd", en="Measure"), text("label"), 30),
        Column("description", Label(sv="Beskrivning", en="Description"), text("description"), 60),
        Column("source", Label(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.measure,
)

FINDINGS = Sheet(
    "findings",
    Label(sv="Att reda ut", en="Findings"),
    (
        Column("key", Label(sv="Nyckel", en="Key"), said("key"), 22),
        Column("statement", Label(sv="Iakttagelse", en="Finding"), text("statement"), 60),
        Column("decision", Label(sv="Tills vidare", en="Until decided"), text("decision"), 40),
        Column("owner", Label(sv="Ansvarig", en="Owner"), said("owner"), 24),
        Column("due_on", Label(sv="Senast", en="Due"), said("due_on"), 12),
        Column("kind", Label(sv="Slag", en="Kind"), said("kind"), 14),
        Column("rows", Label(sv="Rader i regelboken", en="Rows of the book"), said("rows"), 30),
        Column("source", Label(sv="Källa", en="Source"), said("source"), 24),
    ),
    linked.record("Record", "key"),
)

COMPLETENESS = Sheet(
    "completeness",
    Label(sv="Fullständighet per mall", en="Completeness per template"),
    (
        Column("template", Label(sv="Mall", en="Template"), said("template"), 10),
        Column("fields", Label(sv="Fält", en="Fields"), said("fields"), 8),
        Column("cells", Label(sv="Celler", en="Cells"), said("cells"), 10),
        Column("filled", Label(sv="Ifyllda", en="Filled"), said("filled"), 10),
        Column(
            "missing",
            Label(sv="Saknas (antal behandlingar)", en="Missing (number of activities)"),
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
    Label(sv="Utlämnande till myndigheter", en="Disclosure to authorities"),
    (
        Column("key", Label(sv="Nyckel", en="Key"), said("key"), 24),
        Column("instrument", Label(sv="Slag av begäran", en="Instrument"), text("label"), 36),
        Column("country", Label(sv="Land", en="Country"), said("country"), 8),
        Column("issuers", Label(sv="Kan utfärdas av", en="May be issued by"), said("issuers"), 30),
        Column("legal_ref", Label(sv="Lagrum", en="Legal reference"), said("legal_ref"), 30),
        Column("year", Label(sv="År", en="Year"), said("year"), 8, must=True),
        *(
            Column(name, label, _figure(name), 12, must=True)
            for name, label in {
                "requests": Label(sv="Antal", en="Requests"),
                "executed": Label(sv="Verkställda", en="Executed"),
                "nothing": Label(sv="Inga uppgifter", en="No data"),
                "refused": Label(sv="Avslagna", en="Refused"),
                "withdrawn": Label(sv="Återkallade", en="Withdrawn"),
                "pending": Label(sv="Pågående", en="Pending"),
                "median_days": Label(sv="Mediantid, dagar", en="Median time, days"),
            }.items()
        ),
    ),
    linked.record("Record", "key", "year"),
)

BREACHES = Sheet(
    "breaches",
    Label(sv="Personuppgiftsincidenter", en="Personal data breaches"),
    (
        Column("breach", Label(sv="Incident", en="Breach"), said("id"), 38),
        Column("title", Label(sv="Rubrik", en="Title"), said("title"), 30),
        Column("aware_at", Label(sv="Känd sedan", en="Aware since"), said("aware_at"), 20),
        Column("occurred_from", Label(sv="Inträffade från", en="Occurred from"), said("occurred_from"), 20),
        Column("occurred_to", Label(sv="Inträffade till", en="Occurred until"), said("occurred_to"), 20, must=True),
        Column("facts", Label(sv="Omständigheter", en="Facts"), said("facts"), 50),
        Column("effects", Label(sv="Effekter", en="Effects"), said("effects"), 40),
        Column("remedies", Label(sv="Vidtagna åtgärder", en="Remedial action"), said("remedies"), 40),
        Column("categories", Label(sv="Kategorier av uppgifter", en="Categories of data"), text("categories"), 30),
        Column("subjects", Label(sv="Antal registrerade", en="People concerned"), said("subjects"), 12, must=True),
        Column("records", Label(sv="Antal poster", en="Records concerned"), said("records"), 12, must=True),
        Column("risk", Label(sv="Risk", en="Risk"), from_words("risk", wording.RISK), 14),
        Column("clocks", Label(sv="Underrättelser", en="Notices"), _clocks, 60),
        Column("closed_at", Label(sv="Avslutad", en="Closed"), said("closed_at"), 20, must=True),
        Column("conclusion", Label(sv="Slutsats", en="Conclusion"), said("conclusion"), 40, must=True),
    ),
    linked.record("DataBreachRecord", "id"),
    "card",
    lambda row, context: row["title"],
)

CLOCKS = Sheet(
    "breach-notices",
    Label(sv="Tidsfrister och underrättelser", en="Clocks and notices"),
    (
        Column("breach", Label(sv="Incident", en="Breach"), said("breach"), 38),
        Column("clock", Label(sv="Skyldighet", en="Duty"), text("label"), 34),
        Column("to", Label(sv="Till", en="To"), said("to"), 28),
        Column("legal_ref", Label(sv="Lagrum", en="Legal reference"), said("legal_ref"), 26),
        Column("due_at", Label(sv="Senast", en="Due"), said("due_at"), 22),
        Column("told_at", Label(sv="Underrättad", en="Told"), said("told_at"), 22, must=True),
        Column("state", Label(sv="Läge", en="State"), from_words("state", wording.CLOCK), 16),
        Column("reference", Label(sv="Referens", en="Reference"), said("reference"), 20, must=True),
    ),
    linked.record("DataBreachNotice", "breach", "clock"),
)

REVIEWS = Sheet(
    "access-reviews",
    Label(sv="Granskningar av behörigheter", en="Reviews of access"),
    (
        Column("review", Label(sv="Granskning", en="Review"), said("id"), 38),
        Column("opened_at", Label(sv="Öppnad", en="Opened"), said("opened_at"), 22),
        Column("due_at", Label(sv="Senast", en="Due"), said("due_at"), 22),
        Column("closed_at", Label(sv="Avslutad", en="Closed"), said("closed_at"), 22, must=True),
        Column("grants", Label(sv="Behörigheter", en="Grants"), said("grants"), 12),
        Column("kept", Label(sv="Bekräftade", en="Confirmed"), said("kept"), 12),
        Column("not_kept", Label(sv="Återkallade", en="Revoked"), said("not_kept"), 12),
        Column("undecided", Label(sv="Ej avgjorda", en="Undecided"), said("undecided"), 12),
    ),
    linked.record("Record", "id"),
)

REVIEWED = Sheet(
    "access-review-decisions",
    Label(sv="Beslut i granskningar", en="Decisions in reviews"),
    (
        Column("review", Label(sv="Granskning", en="Review"), said("review"), 38),
        Column("grant", Label(sv="Behörighet", en="Grant"), said("grant"), 38),
        Column("person", Label(sv="Person (konto)", en="Person (account)"), said("person"), 38),
        Column("role", Label(sv="Roll", en="Role"), said("role"), 20),
        Column(
            "kept",
            Label(sv="Bekräftad", en="Confirmed"),
            lambda row, context: None if row["kept"] is None else flag("kept")(row, context),
            12,
            must=True,
        ),
        Column("decided_at", Label(sv="Avgjord", en="Decided"), said("decided_at"), 22, must=True),
        Column("reason", Label(sv="Skäl", en="Reason"), said("reason"), 30),
    ),
    linked.record("Record", "review", "grant"),
)

GRANTS = Sheet(
    "access-grants",
    Label(sv="Behörigheter", en="Grants of access"),
    (
        Column("grant", Label(sv="Behörighet", en="Grant"), said("id"), 38),
        Column("person", Label(sv="Person (konto)", en="Person (account)"), said("person"), 38),
        Column("role", Label(sv="Roll", en="Role"), said("role"), 20),
        Column("system", Label(sv="System", en="System"), said("system"), 16),
        Column("facility", Label(sv="Anläggning", en="Facility"), said("facility"), 16),
        Column("areas", Label(sv="Utrymmen", en="Areas"), said("areas"), 20),
        Column("purpose", Label(sv="Ändamål", en="Purpose"), said("purpose"), 24),
        Column("justification", Label(sv="Motivering", en="Justification"), said("justification"), 30),
        Column("state", Label(sv="Läge", en="State"), from_words("state", wording.GRANT), 14),
        Column("valid_from", Label(sv="Gäller från", en="Valid from"), said("valid_from"), 22),
        Column("valid_to", Label(sv="Gäller till", en="Valid to"), said("valid_to"), 22),
        Column("ended_at", Label(sv="Upphörde", en="Ended"), said("ended_at"), 22),
        Column("ended_for", Label(sv="Därför att", en="Because"), said("ended_for"), 16),
    ),
    linked.record("Record", "id"),
)

PROFILES = {
    profile.key: profile
    for profile in (
        Profile(
            "art30-controller",
            Label(sv="Register över behandling", en="Record of processing activities"),
            "GDPR Art. 30(1)",
            (RECORDS, BASES, SUBPROCESSORS, TRANSFERS, MEASURES, FINDINGS, COMPLETENESS),
        ),
        Profile(
            "art30-processor",
            Label(sv="Register över behandling som personuppgiftsbiträde", en="Record of processing as processor"),
            "GDPR Art. 30(2)",
            (PROCESSOR_RECORDS, SUBPROCESSORS, TRANSFERS, MEASURES),
        ),
        Profile(
            "subprocessors",
            Label(sv="Underbiträden och ändringar", en="Sub-processors and their changes"),
            "GDPR Art. 28(2), 28(4)",
            (SUBPROCESSORS, CHANGES),
        ),
        Profile(
            "transfers",
            Label(sv="Överföringar till tredje land", en="Transfers to third countries"),
            "GDPR Chapter V",
            (TRANSFERS,),
        ),
        Profile(
            "breaches",
            Label(sv="Register över personuppgiftsincidenter", en="Register of personal data breaches"),
            "GDPR Art. 33(5)",
            (BREACHES, CLOCKS),
            scope="breach.read",
        ),
        Profile(
            "access-reviews",
            Label(sv="Behörigheter och granskningar", en="Access and its reviews"),
            "GDPR Art. 32(1)(d)",
            (REVIEWS, REVIEWED, GRANTS),
            scope="access.read",
        ),
        Profile(
            "transparency",
            Label(sv="Insynsrapport", en="Transparency report"),
            "House: disclosure",
            (ORDER_KINDS,),
            Label(
                sv="Antal räknas av den del som handlägger begäranden, för år som är slut. * är ett tal som är för litet för att visas, eller som skulle röja ett sådant.",
                en="Counts come from the part that handles orders, for years that are over. * is a number too small to be shown, or one that would tell such a number.",
            ),
        ),
    )
}
