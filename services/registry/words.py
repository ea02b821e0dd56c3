"""What the model's sections, fields and values are called by people: one line each, `key | Swedish | English`."""

from services.registry.contract import Text


def _table(lines: str) -> dict[str, Text]:
    rows = (line.split(" | ") for line in lines.strip().splitlines())
    return {key.strip(): Text(sv=sv.strip(), en=en.strip()) for key, sv, en in rows}


SECTION = _table("""
    book | Regelboken | The policy book
    controller | Personuppgiftsansvarig | Controller
    authorities | Myndighet | Authority
    subjects | Registrerade | Data subjects
    services | Tjänst | Service
    categories | Kategori av uppgifter | Category of data
    elements | Uppgift | Kind of data
    collection | Insamling | Collection
    purposes | Ändamål | Purpose
    bases | Rättslig grund | Legal basis
    withdrawals | Återkallelse | Withdrawal
    conditions | Villkor | Condition
    retention | Lagring | Retention
    recipients | Mottagare | Recipient
    places | Plats | Place
    subprocessors | Underbiträde | Sub-processor
    adequacy | Beslut om adekvat skyddsnivå | Adequacy decision
    transfers | Överföring | Transfer
    rights | Rättighet | Right
    grounds | Grund för rättigheten | Ground of a right
    exceptions | Undantag från rättigheten | Exception from a right
    representations | Företrädare | Acting for somebody else
    papers | Handling som ska visas | Paper to be shown
    order_categories | Vad en myndighet kan begära | What an authority can ask for
    instruments | Slag av order | Kind of order
    limits | Gränsvärde | Limit
    measures | Skyddsåtgärd | Measure
    clauses | Standardtext | Clause
    statements | Uppgift i registret | Statement of the register
    findings | Iakttagelse | Finding
""")

FIELD = _table("""
    source | källa | source
    valid_from | gäller från | valid from
    valid_to | gäller till och med | valid to
    zone | tidszon | time zone
    label | benämning | name
    name | namn | name
    organisation_number | organisationsnummer | organisation number
    address | adress | address
    email | e-post | e-mail
    telephone | telefon | telephone
    website | webbplats | website
    data_protection_officer | dataskyddsombud | data protection officer
    representative | företrädare | representative
    joint_controllers | gemensamt ansvariga | joint controllers
    role | roll | role
    reason | skäl | reason
    explicit_consent | bara med uttryckligt samtycke | on explicit consent only
    content | innehåll i kommunikation | content of communication
    dpv | term i DPV | DPV term
    elements | uppgifter | data
    subjects | registrerade | data subjects
    special | känslig kategori | special category
    covers | omfattar | covers
    description | beskrivning | description
    necessity | nödvändighet | necessity
    objection | invändning | objection
    without | utan det | without it
    gpc | webbläsarens signal räknas som invändning | a browser's signal counts as an objection
    consent_validity | ett samtycke gäller | a consent is valid for
    re_ask_after | vi frågar igen tidigast efter | asked again after
    min_age | ålder för eget samtycke | age of consent
    purpose | ändamål | purpose
    context | sammanhang | context
    basis | rättslig grund | legal basis
    legal_ref | lagrum | legal reference
    min | minst | at least
    max | högst | at most
    words | ordalydelse | wording
    anchor | räknas från | counted from
    keep | sparas | kept
    unless | längre så länge | longer while
    store_class | slag av lager | class of store
    kinds | slag | kinds
    then | därefter | then
    latest | som längst | at the latest
    customer_defined | kunden bestämmer tiden | the customer defines the time
    legal_duty | skyldighet enligt lag | duty by law
    promised | utlovat | promised
    law | lagen | the law
    condition | villkor | condition
    third_country | tredje land | third country
    legal_name | företagsnamn | legal name
    places | platser | places
    support_from | support från | support from
    services | tjänster | services
    parent | underbiträde till | engaged by
    contact | kontakt | contact
    agreement | avtal | agreement
    agreed_on | avtalsdatum | date of agreement
    certifications | certifieringar | certifications
    started_on | anlitat från | engaged since
    ends_on | upphör | ends
    status | status | status
    place | plats | place
    decision | beslut | decision
    listed_importers | bara certifierade importörer | certified importers only
    subprocessor | underbiträde | sub-processor
    mechanism | stöd för överföringen | mechanism
    module | modul | module
    listed_on | certifiering kontrollerad | certification checked
    assessment | konsekvensbedömning | impact assessment
    supplementary | kompletterande åtgärder | supplementary measures
    onward | vidare överföring | onward transfer
    review_at | ses över | review
    due | svar inom | answer within
    extension | kan förlängas med | may be extended by
    cooling_off | ångertid | time to change one's mind
    confirmed_by | bekräftas för någon annan av | confirmed for somebody by
    investigation | utredning högst | investigation at most
    bases | rättsliga grunder | legal bases
    grounds | grunder | grounds
    exceptions | undantag | exceptions
    rights | rättigheter | rights
    papers | handlingar som ska visas | papers to be shown
    until_age | till och med dagen före födelsedag nummer | until the day before birthday number
    asked_from_age | barnet tillfrågas från ålder | the child agrees from age
    known_to_consent | även den som är känd för samtycken | also whom the consent service knows
    country | land | country
    issuers | utfärdare | issuers
    validators | validering av | validated by
    categories | kategorier | categories
    copies | kopior | copies
    deadline | tidsfrist | deadline
    emergency_deadline | tidsfrist i nödläge | emergency deadline
    clarification | tid för förtydligande | time for clarification
    validated_within | valideras inom | validated within
    hold | bevaras i | preserved for
    hold_extension | bevarande förlängs med | preservation extended by
    longest_period | längsta tid | longest period
    offence_years | straffskala minst (år) | offence punishable by at least (years)
    approvals | godkännanden | approvals
    secrecy | sekretess | secrecy
    told_by | den enskilde underrättas av | the person is told by
    told_from | underrättas tidigast efter | told at the earliest after
    told_until | underrättas senast efter | told at the latest after
    refused_with | avslås med | refused with
    period | tid | period
    number | antal | number
    text | text | text
    statement | iakttagelse | statement
    rows | berörda rader | rows concerned
    owner | ansvarig | owner
    due_on | åtgärdas senast | due on
""")

VALUE = _table("""
    consent | samtycke | consent
    contract | avtal | agreement
    legal_obligation | rättslig förpliktelse | legal obligation
    vital_interests | grundläggande intressen | vital interests
    public_task | uppgift av allmänt intresse | public task
    legitimate_interest | berättigat intresse | legitimate interest
    delete | raderas | deleted
    anonymise | anonymiseras | anonymised
    drop | förstörs | destroyed
    business | verksamhet | business
    retention | lagstadgad lagring | retention by law
    system | system | system
    backup | säkerhetskopia | backup
    agreement_ended | avtalet upphörde | the agreement ended
    invoice_paid | fakturan är betald | the invoice is paid
    financial_year_ended | räkenskapsåret slutade | the financial year ended
    started_at | kommunikationen | the communication
    created_at | uppgiften skapades | the data were created
    closed_at | ärendet avslutades | the case was closed
    stored_at | kopian gjordes | the copy was made
    mobile_call | mobilsamtal | mobile calls
    sms | SMS | SMS
    fixed_call | fasta samtal | fixed calls
    data | data | data
    person | en anställd | one of the staff
    four_eyes | två anställda | two of the staff
    required | nödvändigt | required
    optional | frivilligt | optional
    none | ingen | none
    weighed | vägs | weighed
    absolute | alltid | always
    adequacy | beslut om adekvat skyddsnivå | adequacy decision
    scc | standardavtalsklausuler | standard contractual clauses
    bcr | bindande företagsbestämmelser | binding corporate rules
    art_49 | undantag enligt artikel 49 | derogation of Art. 49
    not_stated | ej angivet | not stated
    active | aktivt | active
    retired | upphört | retired
    always | alltid | always
    if_ordered | om det beslutas | if ordered
    issuer | utfärdaren | the issuer
    operator | operatören | the operator
    nobody | ingen | nobody
""")


def section(name: str) -> Text:
    return SECTION.get(name) or _plain(name)


def field(name: str) -> Text:
    return FIELD.get(name) or _plain(name)


def _plain(name: str) -> Text:
    """A name nobody has given words to yet is at least readable."""
    return Text(sv=name.replace("_", " "), en=name.replace("_", " "))
