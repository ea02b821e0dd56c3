"""The policy book: the operator's rules as data. Services execute these rows, and the register, the regulator's export
and the public page are rendered from the very same ones.

Every row names its `source`: `page: …` is the operator's public promise, `law: …` an article, `house: …` the operator's
own decision. A row may be dated (`valid_from`, `valid_to`, both days included); `book.on(day)` leaves those that apply.
Look-ups of something the book does not have answer None or raise `NotInBook`; nobody may replace them by a literal.
"""

from datetime import date
from functools import cached_property
from typing import Annotated, Literal, Self, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import StringConstraints, model_validator

from chassis.contract import Contract
from services.registry.contract.periods import Period
from services.registry.labels import Language

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
# No control characters: what is written here goes into XML, spreadsheets and letters.
Words = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+$")]

LegalBasis = Literal["consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interest"]
StoreClass = Literal["business", "retention", "system", "backup"]
TrafficKind = Literal["mobile_call", "sms", "fixed_call", "data", "email", "location"]
Anchor = Literal[
    "agreement_ended", "invoice_paid", "financial_year_ended", "started_at", "created_at", "closed_at", "stored_at"
]
ConditionKey = Literal["agreement_running", "invoice_unpaid", "claim_open", "case_open"]
RightKind = Literal[
    "access",
    "correction",
    "deletion",
    "objection",
    "restriction",
    "portability",
    "withdrawal",
    "damages",
    "human_review",
    "complaint",
]
RepresentationKey = Literal["authorised", "guardian", "estate"]
Risk = Literal["none", "risk", "high"]
AuthorityKind = Literal[
    "judge",
    "court",
    "investigating_judge",
    "prosecutor",
    "investigation_leader",
    "police",
    "security_service",
    "enforcing_authority",
    "emergency_service",
    "rights_holder",
    "foreign",
]
LimitKey = Literal[
    "consent_validity",
    "consent_re_ask_after",
    "consent_max_staleness",
    "consent_merge_delay",
    "consent_min_age",
    "consent_capture_expiry",
    "consent_captures",
    "package_link_expiry",
    "package_downloads",
    "package_kept",
    "asked_without_delay",
    "clock_reminder",
    "clock_escalation",
    "answer_kept",
    "claims_kept",
    "restriction_notice",
    "step_up_after",
    "passphrase_awaited",
    "confirmation_awaited",
    "confirmation_reminder",
    "fee_awaited",
    "fee_most",
    "identity_awaited",
    "one_time_code_sends",
    "open_requests",
    "one_time_code_expiry",
    "one_time_code_tries",
    "breach_telecom",
    "breach_telecom_supplement",
    "breach_data_protection",
    "breach_tenant",
    "breach_subjects",
    "access_longest",
    "access_review_every",
    "access_review_open",
    "assessment_reminder",
    "break_glass",
    "break_glass_review",
    "emergency_order_review",
    "order_rows",
    "order_targets",
    "k_anonymity",
    "delinking_window",
    "small_cells",
    "key_epoch",
    "importer_list_check",
    "ending_deadline",
    "finding_due",
    "manual_step",
]


# Reasons for which nobody decides: `services/requests/rights` names them itself.
REFUSED_BY_RULE = frozenset(
    {"fee_unpaid", "identity_not_proven", "not_confirmed", "not_on_consent", "no_right_to_object", "restricted"}
)
SubProcessorStatus = Literal["proposed", "notified", "objection_open", "active", "rejected", "retired"]
Mechanism = Literal["adequacy", "scc", "bcr", "art_49", "not_stated"]


class NotInBook(LookupError):
    """The policy book has no such row; whoever asked must refuse rather than guess."""


class Text(Contract):
    """The same words in the two languages of the operator."""

    sv: Words
    en: Words

    def in_(self, language: Language) -> str:
        return self.sv if language == "sv" else self.en


class Row(Contract):
    """One reviewed rule, with where it comes from and the days on which it applies (None: as long as the book)."""

    source: Words
    valid_from: date | None = None
    valid_to: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError("valid_to lies before valid_from")
        return self

    def applies(self, day: date) -> bool:
        return (self.valid_from or date.min) <= day <= (self.valid_to or date.max)


class KeyedRow(Row):
    """A rule that others name by its key; two rows with one key are the same rule at different times."""

    key: Key

    @property
    def identity(self) -> str:
        return self.key


class LabelledRow(KeyedRow):
    label: Text


class Controller(Row):
    """Who answers for the processing, Art. 30(1)(a). `jurisdiction`: the country under whose law it does."""

    name: Words
    organisation_number: Words
    address: Words
    email: Words
    telephone: Words
    website: Words
    data_protection_officer: Words
    jurisdiction: Words
    representative: Words | None = None
    joint_controllers: tuple[Words, ...] = ()

    @property
    def identity(self) -> str:
        return "controller"


class Authority(LabelledRow):
    """A supervisory authority: where people complain, where breaches are reported."""

    role: Literal["data_protection", "telecom"]
    address: Words
    email: Words
    website: Words


class Condition(LabelledRow):
    """A reason to keep longer. `reason` is what a person is told."""

    key: ConditionKey
    reason: Text


class Service(LabelledRow):
    """A service a customer may use; which sub-processors see its data depends on it."""


class SubjectGroup(LabelledRow):
    """A category of data subjects, Art. 30(1)(c)."""


class Element(LabelledRow):
    """One kind of data. A category's rules hold for all its elements, unless a rule names the element. `shows_home`: where
    somebody lives, which is never shown of a protected identity."""

    explicit_consent: bool
    content: bool = False
    shows_home: bool = False
    dpv: Words | None = None


class Category(LabelledRow):
    """`special`: Art. 9. `content`: of communication, which only the parties' consent opens."""

    elements: tuple[Element, ...]
    subjects: tuple[Key, ...]
    special: bool = False
    content: bool = False
    dpv: Words | None = None


class Collection(LabelledRow):
    """How data come to the operator. `covers`: categories or elements."""

    covers: tuple[Key, ...]


class Purpose(LabelledRow):
    """Why. `objection`: whether Art. 21 lets a person object. `gpc`: a browser's Sec-GPC counts as an objection. Of consents to it: how
    long they are valid, how long a no is respected, and from which birthday people consent themselves; what a purpose does not say itself is
    a limit of the book's (`PolicyBook.consent_validity` and so on)."""

    description: Text
    necessity: Literal["required", "optional"]
    objection: Literal["none", "weighed", "absolute"]
    without: Text | None = None
    gpc: bool = False
    dpv: Words | None = None
    consent_validity: Period | None = None
    re_ask_after: Period | None = None
    min_age: int | None = None


class Basis(Row):
    """The one legal basis of a purpose for a category or element (`covers`), in a context."""

    purpose: Key
    covers: Key
    context: Key = "any"
    basis: LegalBasis
    legal_ref: Words

    @property
    def identity(self) -> str:
        return f"{self.purpose}/{self.covers}/{self.context}"


class ApiScope(KeyedRow):
    """What a scope of the operator's open APIs lets its caller process: `covers`, a category or element."""

    scope: Words
    covers: Key


class Withdrawal(KeyedRow):
    """What a withdrawal of the consent to `purpose` erases: elements that rest on that consent alone, Art. 17(1)(b)."""

    purpose: Key
    elements: tuple[Key, ...]
    legal_ref: Words


class Bounds(Contract):
    """What is promised, or what the law says: at least, at most, in whose words."""

    min: Period | None = None
    max: Period | None = None
    words: Text | None = None


class Latest(Contract):
    """A second end that comes whatever else keeps a record, `unless` its own conditions hold."""

    anchor: Anchor
    keep: Period
    unless: tuple[ConditionKey, ...] = ()


class Retention(LabelledRow):
    """How long, and then what. `keep` counts from `anchor` and executes; it must lie inside `law` and `promised`.

    No `elements`: every element of the store class. No `kinds`: every kind of traffic. With `customer_defined` a tenant
    sets its own period between `min` and `max`, and `keep` is what applies until then. `reason` is told to the person.
    `then` is what a sweep does; one person's own deletion always deletes.
    """

    elements: tuple[Key, ...]
    store_class: StoreClass
    kinds: tuple[TrafficKind, ...] = ()
    anchor: Anchor
    keep: Period
    then: Literal["delete", "anonymise", "drop"]
    unless: tuple[ConditionKey, ...] = ()
    latest: Latest | None = None
    customer_defined: bool = False
    min: Period | None = None
    max: Period | None = None
    legal_duty: bool = False
    promised: Bounds | None = None
    law: Bounds | None = None
    legal_ref: Words
    reason: Text

    def covers(self, element: str, store_class: str, kind: str | None) -> bool:
        return (
            self.store_class == store_class
            and (not self.elements or element in self.elements)
            and (not self.kinds or kind in self.kinds)
        )


class Recipient(LabelledRow):
    """Who else may see data. A recipient without a condition is a fault of the book."""

    covers: tuple[Key, ...]
    condition: Text | None = None
    legal_ref: Words


class Place(LabelledRow):
    """Where a sub-processor works, as the page says it."""

    third_country: bool


class SubProcessor(KeyedRow):
    """`services`: with which of the operator's services a customer's data reach it (empty: with every service).

    `parent`: whose own processor it is, so that a chain has tiers (none: the operator engages it itself). `places`: where it
    stores and works, `support_from`: from where its staff may look in. `agreement`: the reference of the Art. 28 agreement.
    """

    legal_name: Words
    purpose: Text
    places: tuple[Key, ...]
    support_from: tuple[Key, ...] = ()
    services: tuple[Key, ...] = ()
    covers: tuple[Key, ...]
    parent: Key | None = None
    address: Words | None = None
    contact: Words | None = None
    agreement: Words | None = None
    agreed_on: date | None = None
    certifications: tuple[Words, ...] = ()
    started_on: date | None = None
    ends_on: date | None = None
    status: SubProcessorStatus = "active"


class Adequacy(LabelledRow):
    """A decision that a country's protection is adequate, Art. 45: dated, since such decisions end.

    `listed_importers`: it holds only for importers that certified themselves, which has to be looked up.
    """

    place: Key
    decision: Words
    listed_importers: bool = False


class Transfer(Row):
    """A transfer to a third country and what makes it lawful, Chapter V; `not_stated` until somebody says.

    `decision`: the key of the adequacy decision it rests on · `module`: of the standard contractual clauses · `listed_on`: the
    day on which the importer was last looked up where a decision asks for that · `assessment`: of the transfer's impact.
    """

    subprocessor: Key
    place: Key
    mechanism: Mechanism
    decision: Key | None = None
    module: Literal["1", "2", "3", "4"] | None = None
    covers: tuple[Key, ...] = ()
    listed_on: date | None = None
    assessment: Words | None = None
    supplementary: tuple[Words, ...] = ()
    onward: Text | None = None
    review_at: date | None = None

    @property
    def identity(self) -> str:
        return f"{self.subprocessor}/{self.place}"


class Ground(LabelledRow):
    """A ground or an exception of a right, or a reason for refusing one. `investigated`: it is looked into, in the right's time."""

    legal_ref: Words
    investigated: bool = False


class Right(LabelledRow):
    """What a person may ask. `due` counts from receipt; `bases`: only data processed on these (empty: all). `decided_by`: what no
    rule can decide is decided by one person of the staff, or proposed by one and reviewed by another. `confirmed_by`: how many of
    the staff it takes where she does not confirm herself. `assurance`: the level of the book's `assurances` that a login needs for
    it."""

    key: RightKind
    description: Text
    legal_ref: Words
    due: Period
    extension: Period | None = None
    cooling_off: Period | None = None
    investigation: Period | None = None
    bases: tuple[LegalBasis, ...] = ()
    grounds: tuple[Ground, ...] = ()
    exceptions: tuple[Ground, ...] = ()
    decided_by: Literal["rule", "person", "four_eyes"] = "rule"
    confirmed_by: Literal["person", "four_eyes"] = "four_eyes"
    assurance: int = 1


class Representation(LabelledRow):
    """When somebody may act for another person: in which `rights`, and which `papers` staff must have seen. Of a child: `until_age`, by
    which birthday it is over, and `asked_from_age`, from which birthday only with the child's own agreement. `known_to_consent`: who
    is a guardian for the one service is one for the other (rights, consent). `confirmed_by`: how many of the staff look at the papers
    before it counts."""

    key: RepresentationKey
    rights: tuple[RightKind, ...]
    papers: tuple[Ground, ...] = ()
    until_age: int | None = None
    asked_from_age: int | None = None
    known_to_consent: bool = False
    confirmed_by: Literal["person", "four_eyes"] = "four_eyes"
    legal_ref: Words

    @model_validator(mode="after")
    def _ages(self) -> Self:
        if (self.key == "guardian") != (self.until_age is not None):
            raise ValueError("a guardian acts until an age, and nobody else does")
        if self.asked_from_age is not None and not 0 < self.asked_from_age < (self.until_age or 0):
            raise ValueError("a child is asked from an age below the one at which it acts alone")
        return self


class Assurance(LabelledRow):
    """How sure a way of logging in makes us of who asks. `acr`: what issuers call it; an unknown one counts nothing."""

    acr: tuple[Words, ...]
    level: int


class OrderCategory(LabelledRow):
    """What an authority can ask for, in its own words, and which elements of ours that is."""

    elements: tuple[Key, ...]
    kinds: tuple[TrafficKind, ...] = ()


class Instrument(LabelledRow):
    """A kind of order: who may issue it, for what, how fast, and who tells the person.

    `validators`: an order by another issuer counts once one of these has validated it. `deadline` None: as the order
    says or promptly. `hold` and `hold_extension`: how long it preserves. `copies`: which copies may be read.
    `offence_years`: only for an offence punishable by at least so many years, or listed by name.
    """

    country: Words
    kinds: tuple[Literal["disclosure", "preservation", "interception"], ...]
    issuers: tuple[AuthorityKind, ...]
    validators: tuple[AuthorityKind, ...] = ()
    categories: tuple[Key, ...]
    copies: tuple[Literal["business", "retention"], ...] = ("business", "retention")
    deadline: Period | None = None
    emergency_deadline: Period | None = None
    clarification: Period | None = None
    validated_within: Period | None = None
    hold: Period | None = None
    hold_extension: Period | None = None
    longest_period: Period | None = None
    offence_years: int | None = None
    approvals: int
    secrecy: Literal["always", "if_ordered", "none"]
    told_by: Literal["issuer", "enforcing_authority", "operator", "nobody"]
    told_from: Period | None = None
    told_until: Period | None = None
    refused_with: Words | None = None
    legal_ref: Words


class Limit(KeyedRow):
    """A dated number or period that some service executes: exactly one of the two."""

    key: LimitKey
    label: Text
    period: Period | None = None
    number: int | None = None

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if (self.period is None) == (self.number is None):
            raise ValueError("a limit is either a period or a number")
        return self


class Measure(LabelledRow):
    """Technical and organisational measures, Art. 32."""

    description: Text


class Clearance(LabelledRow):
    """Something validated about a member of staff before a door opens, recorded with its evidence."""


class Region(LabelledRow):
    """Where facilities lie. `clearance`: what everybody who enters one of them must have recorded."""

    clearance: Key | None = None


class Area(Contract):
    """A named part of a facility; access is to areas, never to "the data centre"."""

    key: Key
    label: Text


class Facility(LabelledRow):
    """A place with the operator's equipment."""

    region: Key
    areas: tuple[Area, ...]


class System(LabelledRow):
    """Something that people log in to. `wardline` is this platform: its roles decide what staff may do at the edges."""


class BreachClock(LabelledRow):
    """Who is told of a personal data breach, and by when: the period of `limit`, counted from `counts_from`.

    `capacity`: whether the duty is the operator's as controller or as processor (then one clock for each tenant concerned).
    `from_risk`: the least risk to people from which it exists. `remind`: how long before its end the register reminds.
    """

    to: Literal["telecom", "data_protection", "tenant", "subjects"]
    capacity: Literal["controller", "processor"]
    limit: LimitKey
    counts_from: Key | Literal["aware"] = "aware"
    from_risk: Risk = "none"
    remind: Period
    legal_ref: Words


class Clause(KeyedRow):
    """Words that every answer of a kind must carry."""

    key: Literal["deletion_answer", "complaint", "partial_erasure"]
    text: Text


class Statement(KeyedRow):
    """What the operator answers, for all its processing, to a field of the authorities' templates (`rules.completeness`)."""

    text: Text


class Finding(KeyedRow):
    """A difference between promise, law and practice, for the operator's lawyers. `rows`: the keys it is about · `owner` settles
    it no later than `due_on`; a finding without the two is a fault of the book."""

    statement: Text
    decision: Text
    owner: Words | None = None
    due_on: date | None = None
    rows: tuple[Key, ...] = ()


class TenantPeriod(Row):
    """What a tenant set for its own data, within the bounds of a rule that lets it (`customer_defined`).

    `valid_from` and `valid_to` are days of the book's zone. No book states such rows: each tenant's are a signed document of
    their own, and whoever follows them finds them beside the rows of the book in force.
    """

    tenant: UUID
    rule: Key
    keep: Period

    @property
    def identity(self) -> str:
        return f"{self.tenant}/{self.rule}"


class TenantEnding(Row):
    """From `valid_from` on a customer organisation's contract is over, Art. 28(3)(g): what was processed for it goes with the next
    sweep, whatever period or open case would keep it; only a duty of law still does. Signed like `TenantPeriod`, and in no book."""

    tenant: UUID

    @property
    def identity(self) -> str:
        return str(self.tenant)


NamedRow = TypeVar("NamedRow", bound=KeyedRow)


class PolicyBook(Contract):
    """One version of the rules, in force from the first hour of `valid_from` in `zone`."""

    version: Words
    valid_from: date
    zone: Words
    controller: Controller
    authorities: tuple[Authority, ...]
    subjects: tuple[SubjectGroup, ...]
    services: tuple[Service, ...]
    categories: tuple[Category, ...]
    collection: tuple[Collection, ...]
    purposes: tuple[Purpose, ...]
    bases: tuple[Basis, ...]
    withdrawals: tuple[Withdrawal, ...] = ()
    api_scopes: tuple[ApiScope, ...] = ()
    conditions: tuple[Condition, ...]
    retention: tuple[Retention, ...]
    recipients: tuple[Recipient, ...]
    places: tuple[Place, ...]
    subprocessors: tuple[SubProcessor, ...]
    adequacy: tuple[Adequacy, ...] = ()
    transfers: tuple[Transfer, ...]
    rights: tuple[Right, ...]
    extensions: tuple[Ground, ...] = ()
    refusals: tuple[Ground, ...] = ()
    assurances: tuple[Assurance, ...] = ()
    representations: tuple[Representation, ...] = ()
    order_categories: tuple[OrderCategory, ...]
    instruments: tuple[Instrument, ...]
    limits: tuple[Limit, ...]
    measures: tuple[Measure, ...]
    clauses: tuple[Clause, ...]
    statements: tuple[Statement, ...] = ()
    findings: tuple[Finding, ...]
    tenant_periods: tuple[TenantPeriod, ...] = ()
    tenant_endings: tuple[TenantEnding, ...] = ()
    # A version that was signed before these rows existed has none of them.
    clearances: tuple[Clearance, ...] = ()
    regions: tuple[Region, ...] = ()
    facilities: tuple[Facility, ...] = ()
    systems: tuple[System, ...] = ()
    breach_clocks: tuple[BreachClock, ...] = ()

    def on(self, day: date) -> "PolicyBook":
        """The same book with the rows that apply on a day of its zone."""
        kept = {name: tuple(row for row in rows if row.applies(day)) for name, rows in self if isinstance(rows, tuple)}
        return PolicyBook.model_construct(**dict(self) | kept)

    @cached_property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @property
    def known_zone(self) -> bool:
        try:
            return bool(self.tz)
        except (ZoneInfoNotFoundError, ValueError):
            return False

    @cached_property
    def _elements(self) -> dict[str, tuple[Element, Category]]:
        return {element.key: (element, category) for category in self.categories for element in category.elements}

    @cached_property
    def _limits(self) -> dict[str, Limit]:
        return {row.key: row for row in reversed(self.limits)}  # of two, the first

    @cached_property
    def _bases(self) -> dict[tuple[str, str, str], Basis]:
        return {(row.purpose, row.covers, row.context): row for row in self.bases}

    def element(self, element: str) -> Element:
        return self._known(element)[0]

    def category_of(self, element: str) -> Category:
        return self._known(element)[1]

    def elements_of(self, covered: str) -> tuple[str, ...]:
        """The elements that a category, or an element, covers."""
        if covered in self._elements:
            return (covered,)
        return tuple(element.key for element in _named(self.categories, covered).elements)

    def is_content(self, covered: str) -> bool:
        """Whether a category or element is content of communication, which needs every party's consent."""
        if covered in self._elements:
            element, category = self._elements[covered]
            return element.content or category.content
        return _named(self.categories, covered).content

    def basis(self, purpose: str, covered: str, context: str = "any") -> Basis | None:
        """The legal basis on which a category or element may be processed for a purpose; None: there is none.

        The nearest row decides: the element's before its category's, the context's before `any`.
        """
        names = [covered]
        if covered in self._elements:
            names.append(self._elements[covered][1].key)
        for name in names:
            for row in (self._bases.get((purpose, name, context)), self._bases.get((purpose, name, "any"))):
                if row is not None:
                    return row
        return None

    def withdrawal(self, purpose: str) -> Withdrawal | None:
        """What a withdrawal of this purpose's consent erases; None: nothing goes before its period ends."""
        return next((row for row in self.withdrawals if row.purpose == purpose), None)

    def rests_on_consent_alone(self, purpose: str, element: str, context: str = "any") -> bool:
        """Whether nothing but the consent to `purpose` lets this element be processed."""
        bases = {row.key: self.basis(row.key, element, context) for row in self.purposes}
        own = bases.pop(purpose, None)
        return own is not None and own.basis == "consent" and not any(bases.values())

    def retention_for(self, element: str, store_class: StoreClass, kind: str | None = None) -> Retention:
        """The rule for one kind of record; a rule that names the element or the kind comes before one that does not."""
        rows = [row for row in self.retention if row.covers(element, store_class, kind)]
        if not rows:
            raise NotInBook(f"no retention rule for {element} in a {store_class} store, kind {kind}")
        return max(rows, key=lambda row: (bool(row.elements), bool(row.kinds)))

    def keep_for(self, rule: Retention, tenant: UUID) -> Period:
        """How long a rule keeps this tenant's data: what the tenant set, else what the row says."""
        own = (row.keep for row in self.tenant_periods if row.rule == rule.key and row.tenant == tenant)
        return next(own, rule.keep) if rule.customer_defined else rule.keep

    def ending_of(self, tenant: UUID) -> TenantEnding | None:
        return next((row for row in self.tenant_endings if row.tenant == tenant), None)

    def retention_rule(self, key: str) -> Retention:
        return _named(self.retention, key)

    def purpose(self, key: str) -> Purpose:
        return _named(self.purposes, key)

    def consent_validity(self, purpose: str) -> Period:
        return self.purpose(purpose).consent_validity or self.period("consent_validity")

    def re_ask_after(self, purpose: str) -> Period:
        return self.purpose(purpose).re_ask_after or self.period("consent_re_ask_after")

    def min_age(self, purpose: str) -> int:
        return self.purpose(purpose).min_age or self.number("consent_min_age")

    def rests_on_consent(self, purpose: str) -> bool:
        """Whether consent is asked for it at all."""
        return any(row.purpose == purpose and row.basis == "consent" for row in self.bases)

    def right(self, kind: str) -> Right:
        return _named(self.rights, kind)

    def representation(self, key: RepresentationKey) -> Representation | None:
        """None: nobody may act for others that way."""
        return next((row for row in self.representations if row.key == key), None)

    def condition(self, key: str) -> Condition:
        return _named(self.conditions, key)

    def instrument(self, key: str) -> Instrument:
        return _named(self.instruments, key)

    def order_category(self, key: str) -> OrderCategory:
        return _named(self.order_categories, key)

    def facility(self, key: str) -> Facility:
        return _named(self.facilities, key)

    def region(self, key: str) -> Region:
        return _named(self.regions, key)

    def clause(self, key: str) -> Text:
        return _named(self.clauses, key).text

    def period(self, key: LimitKey) -> Period:
        """A limit that is a period, such as `book.period("package_link_expiry")`."""
        found = self._limit(key).period
        if found is None:
            raise NotInBook(f"{key} is a number, not a period")
        return found

    def number(self, key: LimitKey) -> int:
        """A limit that is a number, such as `book.number("k_anonymity")`."""
        found = self._limit(key).number
        if found is None:
            raise NotInBook(f"{key} is a period, not a number")
        return found

    def _limit(self, key: str) -> Limit:
        if key not in self._limits:
            raise NotInBook(f"the policy book has no row {key}")
        return self._limits[key]

    def _known(self, element: str) -> tuple[Element, Category]:
        if element not in self._elements:
            raise NotInBook(f"the policy book has no element {element}")
        return self._elements[element]


def _named(rows: tuple[NamedRow, ...], key: str) -> NamedRow:
    for row in rows:
        if row.identity == key:
            return row
    raise NotInBook(f"the policy book has no row {key}")
