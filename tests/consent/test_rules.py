"""The decision rule by rule: one case for each clause of the law and of the operator's own rules."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.home import ROOT
from services.consent import rules
from services.consent.contract import (
    GroundMissing,
    InTheFuture,
    Kind,
    NoRightToObject,
    NotByConsent,
    NoticeDoesNotCover,
    ObjectionIsAbsolute,
    Reason,
    Regulation,
    SetObjection,
    SetRestriction,
    State,
    UnknownCategory,
    UnknownPurpose,
)
from services.consent.rules import Ground, Matter, Said, decide
from services.registry.books import read_book
from services.registry.contract import PolicyBook

NOW = rules.microseconds(datetime(2026, 5, 4, 12, tzinfo=UTC))
DAY = 86_400_000_000


@pytest.fixture(scope="module")
def book() -> PolicyBook:
    return read_book(ROOT / "policy" / "book.yaml")


def consent(state=State.given, at=NOW - DAY, until=NOW + DAY, notice=1, regulation=Regulation.gdpr) -> Said:
    return Said(Matter(Kind.consent, regulation, "development"), State(state), at, until, notice)


def objection(state="raised", at=NOW - DAY) -> Said:
    return Said(Matter(Kind.objection, Regulation.gdpr, "development"), State(state), at)


def restriction(state="set") -> Said:
    return Said(Matter(Kind.restriction, Regulation.gdpr, "any"), State(state), NOW - DAY)


BY_CONSENT = Ground("development", "consent", "weighed", False, False)
MARKETING = BY_CONSENT._replace(objection="absolute")
RECORDING = BY_CONSENT._replace(content=True)
BY_CONTRACT = BY_CONSENT._replace(basis="contract", objection="none")
BY_LAW = BY_CONSENT._replace(basis="legal_obligation", objection="none")
BY_DUTY = BY_LAW._replace(content=True, by_duty=True)
BALANCED = BY_CONSENT._replace(basis="legitimate_interest")
PUBLIC_TASK = BY_CONSENT._replace(basis="public_task")

CASES = [
    # clause, ground, said, others, operation, allowed, reason
    ("6(1)(a): consent given", BY_CONSENT, [consent()], None, None, True, "consent"),
    ("6(1)(a): consent given again", BY_CONSENT, [consent("renewed_given")], None, None, True, "consent"),
    ("6(1)(a): nothing said", BY_CONSENT, [], None, None, False, "no_consent"),
    ("7(3): consent withdrawn", BY_CONSENT, [consent("withdrawn", notice=None)], None, None, False, "withdrawn"),
    ("consent that ends now", BY_CONSENT, [consent(until=NOW)], None, None, False, "expired"),
    ("consent that ends in a moment", BY_CONSENT, [consent(until=NOW + 1)], None, None, True, "consent"),
    ("consent under another notice", BY_CONSENT, [consent(notice=2)], None, None, False, "notice_does_not_cover"),
    ("two laws, both given", BY_CONSENT, [consent(), consent(regulation=Regulation.eprivacy)], None, None, True, "consent"),
    ("two laws, one withdrawn", BY_CONSENT, [consent(), consent("withdrawn", regulation=Regulation.eprivacy)], None, None,
     False, "withdrawn"),
    ("two laws, one only asked about", BY_CONSENT, [consent("requested", regulation=Regulation.eprivacy), consent()], None, None,
     True, "consent"),
    ("two laws, both only asked about", BY_CONSENT, [consent("requested"), consent("request_deferred", regulation=Regulation.eprivacy)],
     None, None, False, "no_consent"),
    ("6(1)(b): contract needs no consent", BY_CONTRACT, [], None, None, True, "contract"),
    ("7(4): refusal never blocks a contract", BY_CONTRACT, [consent("withdrawn")], None, None, True, "contract"),
    ("6(1)(c): the law", BY_LAW, [], None, None, True, "legal_obligation"),
    ("6(1)(e): public task", PUBLIC_TASK, [], None, None, True, "public_task"),
    ("21(1): objection to a public task", PUBLIC_TASK, [objection()], None, None, False, "objected"),
    ("6(1)(f): balance of interests", BALANCED, [], None, None, True, "legitimate_interest"),
    ("21(1): objection", BALANCED, [objection()], None, None, False, "objected"),
    ("21(1): objection lifted by her", BALANCED, [objection("lifted")], None, None, True, "legitimate_interest"),
    ("21(1): compelling grounds", BALANCED, [objection("overruled")], None, None, True, "compelling_grounds"),
    ("an objection does not touch consent", BY_CONSENT, [consent(), objection()], None, None, True, "consent"),
    ("21(3): an objection to marketing ends consent", MARKETING, [consent(), objection()], None, None, False, "objected"),
    ("21(3): consent after the objection", MARKETING, [consent(at=NOW), objection()], None, None, True, "consent"),
    ("18: restriction stops consent", BY_CONSENT, [consent(), restriction()], None, None, False, "restricted"),
    ("18: restriction stops contract", BY_CONTRACT, [restriction()], None, None, False, "restricted"),
    ("18: restriction stops a balance", BALANCED, [restriction()], None, "analysis", False, "restricted"),
    ("18(2): storage stays open", BY_CONTRACT, [restriction()], None, "storage", True, "contract"),
    ("18(2): legal claims stay open", BY_CONTRACT, [restriction()], None, "legal_claims", True, "contract"),
    ("18(2): storage still needs its basis", BY_CONSENT, [restriction()], None, "storage", False, "no_consent"),
    ("18(2): the law is not stopped", BY_LAW, [restriction()], None, None, True, "legal_obligation"),
    ("18: restriction lifted", BY_CONTRACT, [restriction("lifted")], None, None, True, "contract"),
    ("content: everybody consents", RECORDING, [consent()], [[consent()]], None, True, "consent"),
    ("content: nobody else takes part", RECORDING, [consent()], [], None, True, "consent"),
    ("content: one has not", RECORDING, [consent()], [[consent()], []], None, False, "participant_has_not_consented"),
    ("content: one has withdrawn", RECORDING, [consent()], [[consent("withdrawn")]], None, False,
     "participant_has_not_consented"),
    ("content: a party nobody knows", RECORDING, [consent()], None, None, False, "participants_unknown"),
    ("content: the person herself has not", RECORDING, [], [[consent()]], None, False, "no_consent"),
    ("content: a tenant's duty to record", BY_DUTY, [], None, None, True, "tenant_legal_obligation"),
]  # fmt: skip


@pytest.mark.parametrize(
    "ground, said, others, operation, allowed, reason", [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_the_law_says(ground, said, others, operation, allowed, reason):
    verdict = decide(ground, said, others, operation=operation, covering=frozenset({1}), now=NOW)
    assert (verdict.allowed, verdict.reason) == (allowed, reason)


def test_an_answer_says_until_when_it_holds_and_what_it_obliges_to():
    parties = decide(
        RECORDING, [consent()], [[consent(until=NOW + 5)]], operation=None, covering=frozenset({1}), now=NOW
    )
    assert parties.until == NOW + 5 and parties.obligations == ("stop_on_withdrawal",)
    stored = decide(BY_CONTRACT, [restriction()], None, operation="storage", covering=frozenset(), now=NOW)
    assert stored.obligations == ("store_only",)


def test_the_book_gives_each_purpose_and_category_its_one_basis(book):
    def found(purpose, category, duty=False):
        ground = rules.ground(book, purpose, category, duty)
        return ground if isinstance(ground, Reason) else (ground.basis, ground.content, ground.by_duty)

    assert found("development", "traffic") == ("consent", False, False)
    assert found("development", "usage_statistics") == ("legitimate_interest", False, False)
    assert found("communication", "recorded_call") == ("consent", True, False)
    assert found("communication", "recorded_call", duty=True) == ("legal_obligation", True, True)
    assert found("communication", "helpdesk_email", duty=True) == ("legitimate_interest", False, False)
    assert found("development", "mac_address") is Reason.no_legal_basis
    assert found("astrology", "traffic") is Reason.unknown_purpose
    assert found("development", "horoscope") is Reason.unknown_category


def test_consent_is_taken_only_for_what_rests_on_it(book):
    rules.must_rest_on_consent(book, "development", ["traffic", "usage_statistics"])
    for purpose, covered, refusal in [
        ("maintaining_service", ["traffic"], NotByConsent),
        ("development", ["usage_statistics"], NotByConsent),
        ("development", [], NoticeDoesNotCover),
        ("astrology", ["traffic"], UnknownPurpose),
        ("development", ["horoscope"], UnknownCategory),
    ]:
        with pytest.raises(refusal):
            rules.must_rest_on_consent(book, purpose, covered)


def test_objecting_is_for_balances_and_against_marketing_nothing_outweighs_it(book):
    rules.may_object(book, "development", SetObjection(state="overruled"))
    with pytest.raises(NoRightToObject):
        rules.may_object(book, "maintaining_service", SetObjection(state="raised"))
    purposes = tuple(
        row.model_copy(update={"objection": "absolute"}) if row.key == "development" else row for row in book.purposes
    )
    with pytest.raises(ObjectionIsAbsolute):
        rules.may_object(book.model_copy(update={"purposes": purposes}), "development", SetObjection(state="overruled"))


def test_a_restriction_is_set_on_a_ground_and_lifted_without():
    rules.may_restrict(SetRestriction(state="set", ground="accuracy"))
    rules.may_restrict(SetRestriction(state="lifted"))
    with pytest.raises(GroundMissing):
        rules.may_restrict(SetRestriction(state="set"))


def test_what_is_said_now_is_said_after_what_was_said_before_whatever_the_clocks_say():
    now = datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert rules.when_said(None, now, None) == NOW
    assert rules.when_said(None, now, NOW + 300) == NOW + 301
    assert rules.when_said(now - timedelta(days=1), now, NOW) == NOW - DAY
    with pytest.raises(InTheFuture):
        rules.when_said(now + timedelta(microseconds=1), now, None)


statements = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([State.given, State.renewed, State.withdrawn])), min_size=1, max_size=6
)


@given(statements)
def test_what_counts_does_not_depend_on_what_arrived_first_and_on_a_tie_the_withdrawal_does(said):
    anna, tenant, matter = UUID(int=1), UUID(int=2), Matter(Kind.consent, Regulation.gdpr, "development")
    ranks = {rules.rank(at, state, rules.record_id(tenant, anna, matter, state, None, at)): state for at, state in said}
    latest = max(at for at, _ in said)
    if (latest, State.withdrawn) in said:
        assert ranks[max(ranks)] is State.withdrawn


def test_a_record_is_named_by_what_was_said_and_sorts_by_when():
    anna, tenant, matter = uuid4(), uuid4(), Matter(Kind.consent, Regulation.gdpr, "development")

    def name(anna=anna, state=State.given, notice=("n", 1), at=NOW):
        return rules.record_id(tenant, anna, matter, state, notice, at)

    assert name() == name() and name().version == 7
    different = [name(), name(anna=uuid4()), name(state=State.withdrawn), name(notice=("n", 2)), name(at=NOW + 1)]
    assert len(set(different)) == 5
    assert name(at=NOW - 1000) < name() < name(at=NOW + 1000)
    assert all(one != other for one, other in itertools.combinations(different, 2))


def test_a_record_has_the_name_that_earlier_releases_gave_it():
    matter = Matter(Kind.consent, Regulation.gdpr, "development")
    names = [
        rules.record_id(UUID(int=1), UUID(int=n), matter, State.given, ("development", 1), 1764500000000123)
        for n in (1, 2, 3, 4)
    ]
    assert [str(name) for name in names] == [
        "019ad465-4d00-7711-87d5-d68561d816b1",
        "019ad465-4d00-7eb3-b1c6-4dd2fbe3894d",
        "019ad465-4d00-7d09-9849-9579c45d0b45",
        "019ad465-4d00-7262-b05f-e088435c590b",
    ]
