"""CAMARA ConsentInfo as an API consumer meets it, and the page on which a person answers after she logged in."""

import asyncio
import re
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from fastapi import Request

from chassis import clock
from chassis.ids import new_id
from services.consent import camara
from services.consent.contract import (
    EndConsent,
    EndGuardian,
    GiveConsent,
    NotYetEverywhere,
    RefuseConsent,
    Regulation,
    SetGuardian,
    SetObjection,
    WithdrawConsent,
)
from services.consent.receipts import opened
from services.registry.contract import PolicyBook
from tests.consent.conftest import key
from tests.consent.house import DATABASE
from tests.patience import PATIENCE

PATH = "/consent-info/v0.2/retrieve"
LOCATION = "location-verification:verify"
CALLBACK = "https://consumer.example.com/consent/callback"
NUMBER = "+46701740605"


class Around:
    """The issuer's token endpoint and the anonymizer's look-up, as far as the page and the API need them."""

    def __init__(self, served, company):
        self.served, self.company, self.person, self.known = served, company, None, {}
        state = served.app.state
        state.settings.peers.update(identity=served.issuer_url, anonymizer=served.issuer_url)
        state.tokens.token_url = f"{served.issuer_url}/token"
        for route in ("/token", "/v1/principals/lookup"):
            served.issuer.app.router.routes = [r for r in served.issuer.app.router.routes if r.path != route]
        served.issuer.app.add_api_route("/token", self.token, methods=["POST"])
        served.issuer.app.add_api_route("/v1/principals/lookup", self.lookup, methods=["POST"])

    async def token(self, request: Request):
        form = parse_qs((await request.body()).decode())
        said = {}
        if form["grant_type"] == ["authorization_code"]:
            assert form["redirect_uri"][0].endswith("/v1/captures/return") and len(form["code_verifier"][0]) == 43
            said = {"kind": "customer", "sub": str(self.person), "client_id": "capture"}
        token = self.served.issuer.token("public", "consent.write", self.company.tenant, **said)
        return {"access_token": token, "expires_in": 300}

    async def lookup(self, request: Request):
        (identifier,) = (await request.json())["identifiers"]
        return {"principal": self.known.get(identifier["value"])}


@pytest.fixture
def around(served, company, anna):
    found = Around(served, company)
    found.person, found.known[NUMBER] = anna, str(anna)
    return found


async def ask(company, headers=None, **other):
    body = {
        "phoneNumber": NUMBER,
        "scopes": [LOCATION],
        "purpose": "dpv:ServiceOptimisation",
        "requestCaptureUrl": True,
    }
    body = {name: value for name, value in (body | other).items() if value is not None}
    usual = await company.headers(client_id="public", sub="public")
    return await company.served.http.post(company.served.url + PATH, json=body, headers=usual | (headers or {}))


async def may_call_back(company, *urls):
    answer = await company.served.http.put(
        company.served.url + "/v1/callbacks/public", json={"urls": list(urls)}, headers=await company.headers()
    )
    return answer.status_code


async def test_addresses_set_ten_times_at_once_are_set(company):
    own = ["https://app.example/back", "https://app.example/again"]
    assert set(await asyncio.gather(*(may_call_back(company, *own) for _ in range(10)))) == {200}


def here(company, address):
    """An address of ours as it is behind the edge."""
    parts = urlsplit(address)
    return company.served.url + parts.path + ("?" + parts.query if parts.query else "")


async def open_page(company, capture, state="xyz123"):
    """Through the login, back to the page: what she reads there."""
    http = company.served.http
    login = await http.get(here(company, capture), params={"state": state})
    assert login.status_code == 303, login.text
    query = parse_qs(urlsplit(login.headers["location"]).query)
    assert query["client_id"] == ["capture"] and query["code_challenge_method"] == ["S256"]
    back = {"code": "c", "state": query["state"][0], "iss": company.served.issuer.name}
    return await http.get(company.served.url + "/v1/captures/return", params=back)


async def press(company, capture, page, what, language="sv"):
    form = {"form": re.search(r'name="form" value="([^"]+)"', page.text)[1], "answer": what, "language": language}
    return await company.served.http.post(here(company, capture) + "/answer", data=form)


async def test_a_consumer_asks_is_given_an_address_and_hears_the_outcome(company, around, anna):
    await company.notice()
    await may_call_back(company, CALLBACK)
    asked = await ask(company, {"x-correlator": "b4333c46-49c0"}, callbackUrl=CALLBACK)
    assert asked.headers["x-correlator"] == "b4333c46-49c0"
    (pending,) = asked.json()["statusInfo"]
    assert pending == {
        "scopes": [LOCATION],
        "purpose": "dpv:ServiceOptimisation",
        "statusValidForProcessing": False,
        "statusReason": "PENDING",
    }
    again = (await ask(company, requestCaptureUrl=False)).json()
    assert again["statusInfo"][0]["statusReason"] == "REQUESTED" and "captureUrl" not in again
    capture = asked.json()["captureUrl"]
    page = await open_page(company, capture)
    assert page.status_code == 200 and "Vi spelar in." in page.text and "Lokaliseringsuppgift" in page.text
    assert "script" not in page.text and "default-src 'none'" in page.headers["content-security-policy"]
    answered = await press(company, capture, page, "yes")
    assert answered.status_code == 303
    assert answered.headers["location"] == f"{CALLBACK}?capture_result=granted&state=xyz123"
    (valid,) = (await ask(company)).json()["statusInfo"]
    assert valid["statusValidForProcessing"] and valid["expirationDate"] > clock.now().isoformat()
    assert (await company.decision(anna, "development", "traffic")).decision
    # Twice is once: the form is used up.
    assert (await press(company, capture, page, "no")).status_code == 400
    assert (await company.decision(anna, "development", "traffic")).decision


async def test_a_no_is_a_no_and_no_new_address_is_given(company, around, anna):
    await company.notice()
    capture = (await ask(company)).json()["captureUrl"]
    page = await open_page(company, capture)
    assert "Tack" in (await press(company, capture, page, "no")).text
    denied = (await ask(company)).json()
    assert denied["statusInfo"][0]["statusReason"] == "DENIED" and "captureUrl" not in denied
    found = (await company.service.records(company.tenant, anna)).items
    assert [each.state for each in found] == ["refused", "requested"]


@pytest.fixture
def later(served):
    """Moves the clock that many days on, until the test is over."""
    yield lambda days: clock.set_offset(served.clock, timedelta(days=days))
    clock.set_offset(served.clock, timedelta(0))


async def no(company, anna, how, law="gdpr"):
    said = {"purpose": "development", "principal": anna, "regulation": Regulation(law)}
    if how == "withdrawn":
        return await company.service.withdraw(company.tenant, WithdrawConsent(**said, method="web_form"), key())
    words = {"notice": company.last.notice, "notice_version": company.last.version, "language": "sv"}
    return await company.service.refuse(company.tenant, RefuseConsent(**said, **words, method="web_form"), key())


@pytest.mark.parametrize("law", ["gdpr", "eprivacy"])
@pytest.mark.parametrize("how", ["refused", "withdrawn"])
async def test_a_no_is_respected_for_the_book_s_while_and_then_she_may_be_asked_again(
    company, around, anna, later, how, law
):
    company.last = await company.notice()
    await no(company, anna, how, law)
    month = company.served.app.state.policy.current().re_ask_after("development")
    last_day = (month.after(clock.now(), ZoneInfo("Europe/Stockholm")) - clock.now()).days - 1
    later(last_day)
    denied = (await ask(company)).json()
    assert denied["statusInfo"][0]["statusReason"] == "DENIED" and "captureUrl" not in denied
    later(last_day + 2)
    again = (await ask(company)).json()
    assert again["statusInfo"][0]["statusReason"] == "PENDING", "nobody asked her yet"
    waiting = (await ask(company)).json()
    assert waiting["statusInfo"][0]["statusReason"] == "REQUESTED"
    found = (await company.service.records(company.tenant, anna)).items
    assert [each.state for each in found] == ["requested", how], "it is one question, however many addresses it has"
    assert not (await company.decision(anna, "development", "traffic")).decision, "a question changes nothing"
    page = await open_page(company, waiting["captureUrl"])
    assert "Tack" in (await press(company, waiting["captureUrl"], page, "yes")).text
    assert (await ask(company)).json()["statusInfo"][0]["statusValidForProcessing"]
    assert (await company.decision(anna, "development", "traffic")).decision


async def test_a_second_no_begins_the_pause_anew(company, around, anna, later):
    company.last = await company.notice()
    await no(company, anna, "refused")
    later(200)
    capture = (await ask(company)).json()["captureUrl"]
    page = await open_page(company, capture)
    assert "Tack" in (await press(company, capture, page, "no")).text
    for day, says in ((300, "DENIED"), (400, "PENDING")):
        later(day)
        assert (await ask(company)).json()["statusInfo"][0]["statusReason"] == says


async def test_a_yes_answers_every_no_that_stands_and_a_young_one_closes_the_question(company, around, anna, later):
    company.last = await company.notice()
    await no(company, anna, "refused", "eprivacy")
    later(100)
    await no(company, anna, "withdrawn", "gdpr")
    later(200)
    denied = (await ask(company)).json()
    assert denied["statusInfo"][0]["statusReason"] == "DENIED" and "captureUrl" not in denied
    later(300)
    capture = (await ask(company)).json()["captureUrl"]
    page = await open_page(company, capture)
    await press(company, capture, page, "yes")
    assert (await ask(company)).json()["statusInfo"][0]["statusValidForProcessing"]
    stands = (await company.service.standing(company.tenant, anna)).consents
    assert [(each.regulation, each.state) for each in stands] == [("eprivacy", "given"), ("gdpr", "given")]


@pytest.mark.parametrize(("lapsed", "refused"), [("gdpr", "eprivacy"), ("eprivacy", "gdpr")])
async def test_a_consent_that_lapsed_by_one_law_is_not_asked_for_while_a_no_by_the_other_is_young(
    company, around, anna, later, lapsed, refused
):
    told = company.last = await company.notice()
    wish = {"purpose": "development", "notice": told.notice, "notice_version": told.version, "principal": anna}
    await company.service.give(company.tenant, GiveConsent(**wish, regulation=Regulation(lapsed)), key())
    valid = company.served.app.state.policy.current().consent_validity("development")
    days = (valid.after(clock.now(), ZoneInfo("Europe/Stockholm")) - clock.now()).days
    later(days - 30)
    await no(company, anna, "refused", refused)
    later(days + 30)
    denied = (await ask(company)).json()
    assert denied["statusInfo"][0]["statusReason"] == "DENIED" and "captureUrl" not in denied


async def test_whoever_ended_her_consent_may_ask_her_anew_since_she_said_no_such_thing(company, around, anna):
    await company.give(anna, await company.notice(), "development")
    ended = EndConsent(purpose="development", principal=anna, state="invalidated", legal_ref="GDPR Art. 7(1)")
    await company.service.end(company.tenant, ended, key())
    told = (await ask(company)).json()
    assert told["statusInfo"][0]["statusReason"] == "PENDING"
    page = await open_page(company, told["captureUrl"])
    await press(company, told["captureUrl"], page, "yes")
    assert (await company.decision(anna, "development", "traffic")).decision


async def test_where_no_words_are_in_force_a_consumer_hears_the_status_and_is_given_no_address(company, around):
    now = clock.now()
    await company.notice(valid_from=now - timedelta(days=9))
    await company.notice(valid_from=now - timedelta(days=5), valid_to=now - timedelta(days=1))
    told = await ask(company)
    assert (told.status_code, told.json().get("captureUrl")) == (200, None)
    assert told.json()["statusInfo"][0]["statusReason"] == "PENDING"


async def test_words_that_others_followed_meanwhile_are_not_agreed_to_but_a_no_counts(company, around, anna):
    await company.notice()
    capture = (await ask(company)).json()["captureUrl"]
    page = await open_page(company, capture)
    await company.notice(valid_from=None)
    assert (await press(company, capture, page, "yes")).status_code == 400
    assert (await company.service.standing(company.tenant, anna)).consents[0].state == "requested"
    assert (await press(company, capture, page, "no")).status_code == 200
    assert (await company.service.standing(company.tenant, anna)).consents[0].state == "refused"


async def test_what_rests_on_consent_no_longer_is_not_agreed_to_on_a_page_from_before(
    company, around, anna, monkeypatch
):
    await company.notice()
    capture = (await ask(company)).json()["captureUrl"]
    page = await open_page(company, capture)
    written = company.served.app.state.policy.current().model_dump(mode="json")
    on_balance = [
        row | ({"basis": "legitimate_interest"} if row["basis"] == "consent" else {}) for row in written["bases"]
    ]
    nowhere = [row for row in written["purposes"] if row["key"] != "development"]
    scopes = [row for row in written["api_scopes"] if row["scope"] != LOCATION]
    for changed in ({"bases": on_balance}, {"purposes": nowhere}, {"api_scopes": scopes}):
        book = PolicyBook.model_validate(written | changed, strict=False)
        monkeypatch.setattr(company.served.app.state.policy, "current", lambda book=book: book)
        for answered in (await press(company, capture, page, "yes"), await open_page_again(company, capture)):
            assert answered.status_code == 400 and "inte öppen längre" in answered.text
    assert (await company.service.standing(company.tenant, anna)).consents[0].state == "requested"


async def open_page_again(company, capture):
    return await company.served.http.get(here(company, capture))


async def test_only_the_person_who_is_asked_can_answer(company, around, anna):
    await company.notice()
    capture = (await ask(company)).json()["captureUrl"]
    around.person = new_id()
    other = await open_page(company, capture)
    assert other.status_code == 403 and 'name="form"' not in other.text
    around.person = anna
    page = await open_page(company, capture)
    forged = page.text.replace(re.search(r'name="form" value="([^"]+)"', page.text)[1], "x" * 43)
    assert (await press(company, capture, type("Page", (), {"text": forged}), "yes")).status_code == 400
    assert (await company.service.standing(company.tenant, anna)).consents[0].state == "requested"


async def test_an_answer_that_is_sent_twice_counts_once_and_leads_back_both_times(company, around, anna):
    await company.notice()
    await may_call_back(company, CALLBACK)
    capture = (await ask(company, callbackUrl=CALLBACK)).json()["captureUrl"]
    page = await open_page(company, capture)
    both = await asyncio.gather(*(press(company, capture, page, "yes") for _ in range(2)))
    assert {(each.status_code, each.headers.get("location")) for each in both} == {
        (303, f"{CALLBACK}?capture_result=granted&state=xyz123")
    }
    assert (await press(company, capture, page, "no")).status_code == 400
    assert [each.state for each in (await company.service.records(company.tenant, anna)).items] == [
        "given",
        "requested",
    ]


@pytest.mark.parametrize(
    ("language", "words"), [("sv", "ditt svar är inte registrerat"), ("en", "your answer is not recorded")]
)
async def test_who_answers_on_an_earlier_page_reads_that_it_does_not_count_and_where_to_answer(
    company, around, anna, language, words
):
    await company.notice()
    capture = (await ask(company)).json()["captureUrl"]
    earlier, page = [await open_page(company, capture) for _ in range(2)]
    told = await press(company, capture, earlier, "no", language)
    assert told.status_code == 400 and words in told.text and f'href="{urlsplit(capture).path}"' in told.text
    assert (await press(company, capture, page, "no")).status_code == 200
    told = await press(company, capture, earlier, "no", language)
    assert told.status_code == 400 and words not in told.text and "href" not in told.text


@pytest.mark.parametrize(
    ("language", "words"), [("sv", "Din vårdnadshavare behöver svara"), ("en", "Your guardian needs to answer")]
)
async def test_a_child_reads_that_a_guardian_answers_and_how(company, around, anna, language, words):
    erik = await _guardian_of(company, anna)
    await company.notice()
    await may_call_back(company, CALLBACK)
    capture = (await ask(company, callbackUrl=CALLBACK)).json()["captureUrl"]
    page = await open_page(company, capture)
    told = await press(company, capture, page, "yes", language)
    assert told.status_code == 403 and words in told.text and told.headers["content-type"].startswith("text/html")
    assert f'href="{urlsplit(capture).path}"' in told.text
    assert (await company.service.standing(company.tenant, anna)).consents[0].state == "requested"
    around.person = erik
    page = await open_page(company, capture)
    assert "barnet som du är vårdnadshavare för" in page.text and str(erik) not in page.text
    answered = await press(company, capture, page, "yes")
    assert answered.headers["location"].startswith(f"{CALLBACK}?capture_result=granted")
    (newest, _) = (await company.service.records(company.tenant, anna)).items
    receipt = (await company.again(newest)).receipt
    said = opened(receipt, (await company.served.http.get(f"{company.served.url}/keys")).json())["record"]
    assert (said["type"], said["guardian"], said["state"]) == ("parental", str(erik), "given")


async def test_a_child_may_say_no_and_a_guardian_s_page_is_of_no_use_to_the_child(company, around, anna):
    around.person = await _guardian_of(company, anna)
    await company.notice()
    capture = (await ask(company)).json()["captureUrl"]
    of_guardian = await open_page(company, capture)
    around.person = anna
    page = await open_page(company, capture)
    assert (await press(company, capture, of_guardian, "yes")).status_code == 400
    assert "Tack" in (await press(company, capture, page, "no")).text
    assert (await company.service.standing(company.tenant, anna)).consents[0].state == "refused"


async def test_a_page_opened_by_a_guardian_who_ended_meanwhile_is_not_answered_by_them(company, around, anna):
    erik = around.person = await _guardian_of(company, anna)
    await company.notice()
    capture = (await ask(company)).json()["captureUrl"]
    page = await open_page(company, capture)
    await company.service.end_guardian(company.tenant, anna, EndGuardian(guardian=erik), key())
    assert (await press(company, capture, page, "yes")).status_code == 400
    assert (await open_page(company, capture)).status_code == 403
    assert (await company.service.standing(company.tenant, anna)).consents[0].state == "requested"


async def _guardian_of(company, child):
    born = clock.now().date().replace(day=1) - timedelta(days=9 * 365)
    wish = SetGuardian(guardian=new_id(), born=born, evidence_ref="crm/17")
    return (await company.service.set_guardian(company.tenant, child, wish, key())).guardian


async def test_nobody_is_sent_to_an_address_that_is_registered_no_longer(company, around):
    await company.notice()
    await may_call_back(company, CALLBACK)
    answered, left = [(await ask(company, callbackUrl=CALLBACK)).json()["captureUrl"] for _ in range(2)]
    page = await open_page(company, answered)
    await may_call_back(company, CALLBACK + "/new")
    told = await press(company, answered, page, "no")
    assert (told.status_code, "location" in told.headers) == (200, False) and "Tack" in told.text
    back = {"state": left.rpartition("/")[2], "iss": company.served.issuer.name}
    told = await company.served.http.get(company.served.url + "/v1/captures/return", params=back)
    assert (told.status_code, "location" in told.headers) == (400, False)


async def test_what_is_no_address_is_answered_by_a_page(company):
    for path in ("/v1/captures/cut-off", "/v1/captures/" + "x" * 44):
        told = await company.served.http.get(company.served.url + path, headers={"accept-language": "en"})
        assert told.status_code == 400 and "not open any more" in told.text


async def test_a_state_that_cannot_be_kept_is_refused_and_the_question_stays_open(company, around):
    await company.notice()
    capture = here(company, (await ask(company)).json()["captureUrl"])
    assert (await company.served.http.get(capture + "?state=a%00b")).status_code == 400
    assert (await open_page(company, capture)).status_code == 200


async def test_an_answer_that_does_not_count_everywhere_yet_is_told_on_a_page(company, around, anna, monkeypatch):
    await company.notice()
    capture = (await ask(company)).json()["captureUrl"]
    page = await open_page(company, capture)

    async def frozen(event):
        raise NotYetEverywhere

    monkeypatch.setattr(company.served.app.state.barrier, "passed", frozen)
    told = await press(company, capture, page, "no")
    assert told.status_code == 503 and "Ditt svar är registrerat" in told.text
    assert (await company.service.standing(company.tenant, anna)).consents[0].state == "refused"


async def test_an_address_that_is_too_old_sends_back_with_timeout(company, around):
    await company.notice()
    await may_call_back(company, CALLBACK)
    capture = (await ask(company, callbackUrl=CALLBACK)).json()["captureUrl"]
    clock.set_offset(company.served.clock, timedelta(hours=1))
    try:
        late = await company.served.http.get(here(company, capture))
    finally:
        clock.set_offset(company.served.clock, timedelta(0))
    assert (late.status_code, late.headers["location"]) == (303, f"{CALLBACK}?capture_result=timeout")


async def test_objected_and_contract_are_told_as_camara_does(company, around, anna):
    await company.notice()
    objection = SetObjection(state="raised")
    await company.service.set_objection(company.tenant, anna, "development", objection, key())
    both = (await ask(company, scopes=[LOCATION, "usage-insights:read"])).json()
    assert [(each["scopes"], each["statusReason"]) for each in both["statusInfo"]] == [
        ([LOCATION], "PENDING"),
        (["usage-insights:read"], "OBJECTED"),
    ]
    contract = (await ask(company, purpose="dpv:ServiceProvision")).json()
    assert contract == {
        "statusInfo": [{"scopes": [LOCATION], "purpose": "dpv:ServiceProvision", "statusValidForProcessing": True}]
    }


@pytest.mark.parametrize(
    "change, status, code",
    [
        ({"scopes": []}, 400, "INVALID_ARGUMENT"),
        ({"purpose": "marketing"}, 400, "INVALID_ARGUMENT"),
        ({"requestCaptureUrl": "yes"}, 400, "INVALID_ARGUMENT"),
        ({"phoneNumber": "0701"}, 400, "INVALID_ARGUMENT"),
        ({"phoneNumber": None}, 422, "MISSING_IDENTIFIER"),
        ({"phoneNumber": "+46701740699"}, 404, "IDENTIFIER_NOT_FOUND"),
        ({"purpose": "dpv:Horoscope"}, 403, "CONSENT_INFO.NOT_ALLOWED_SCOPES_PURPOSE"),
        ({"scopes": ["sim-swap:check"]}, 403, "CONSENT_INFO.NOT_ALLOWED_SCOPES_PURPOSE"),
        ({"scopes": ["number-verification:verify"]}, 403, "CONSENT_INFO.NOT_ALLOWED_SCOPES_PURPOSE"),
        ({"callbackUrl": "https://evil.example/"}, 403, "CONSENT_INFO.INVALID_CALLBACK_URL"),
    ],
)
async def test_refusals_have_camara_s_shape(company, around, change, status, code):
    answer = await ask(company, **change)
    assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (status, status, code)
    assert set(answer.json()) == {"status", "code", "message"}


async def test_also_what_the_house_itself_refuses_has_camara_s_shape(company, around, monkeypatch):
    headers = {"x-correlator": "b4333c46-49c0"}
    refusals = {
        (401, "UNAUTHENTICATED"): await ask(company, headers | {"authorization": ""}),
        (403, "PERMISSION_DENIED"): await ask(company, await company.headers(scope="consent.read") | headers),
    }
    monkeypatch.setitem(company.served.app.state.settings.peers, "anonymizer", "http://127.0.0.1:9")
    refusals[503, "UNAVAILABLE"] = await ask(company, headers)
    for (status, code), answer in refusals.items():
        assert (answer.status_code, answer.headers["x-correlator"]) == (status, "b4333c46-49c0"), answer.text
        assert answer.headers["content-type"] == "application/json"
        assert (answer.json()["status"], answer.json()["code"], set(answer.json())) == (
            status, code, {"status", "code", "message"},
        )  # fmt: skip


async def test_no_consent_of_one_person_opens_what_people_said_to_one_another(company, around, anna, monkeypatch):
    await company.give(anna, await company.notice())
    written = company.served.app.state.policy.current().model_dump(mode="json")
    for row in written["api_scopes"]:
        row["covers"] = "recorded_call" if row["scope"] == LOCATION else row["covers"]
    book = PolicyBook.model_validate(written, strict=False)
    monkeypatch.setattr(company.served.app.state.policy, "current", lambda: book)
    answer = await ask(company, purpose="dpv:CommunicationForCustomerCare")
    assert (answer.status_code, answer.json()["code"]) == (403, "CONSENT_INFO.NOT_ALLOWED_SCOPES_PURPOSE")


async def test_with_her_own_token_the_person_is_the_subject(company, around, anna):
    await company.notice()
    hers = await company.headers(kind="customer", sub=str(anna))
    assert (await ask(company, hers, phoneNumber=None)).json()["statusInfo"][0]["statusReason"] == "PENDING"
    assert (await ask(company, hers)).json()["code"] == "UNNECESSARY_IDENTIFIER"


async def test_a_person_is_not_asked_by_any_number_of_addresses(company, around):
    await company.notice()
    for _ in range(3):
        assert "captureUrl" in (await ask(company)).json()
    assert (await ask(company)).json()["code"] == "CONSENT_INFO.CAPTURE_FREQUENCY_EXCEEDED"


@pytest.mark.parametrize(
    "url, may",
    [
        ("https://a.example/cb", True), ("http://127.0.0.1/cb", True), ("http://[::1]:8/cb", True), ("myapp://consent/cb", True),
        ("http://a.example/cb", False), ("javascript:alert(1)", False), ("https://a.example/cb#x", False),
        ("https://u@a.example/cb", False), ("//a.example", False), ("data:text/html,x", False), ("https://", False),
    ],
)  # fmt: skip
async def test_people_are_sent_back_only_where_that_is_safe(company, url, may):
    assert camara.may_send_back_to(url) is may
    if len(url) >= 8:
        assert (await may_call_back(company, url)) == (200 if may else 422)


async def test_while_the_database_is_away_a_person_reads_what_to_do_and_can_answer_afterwards(company, around, anna):
    await company.notice()
    capture = (await ask(company)).json()["captureUrl"]
    page = await open_page(company, capture)
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "accept-language": "en-GB,en;q=0.9"}
    form = {"form": re.search(r'name="form" value="([^"]+)"', page.text)[1], "answer": "yes", "language": "en"}
    http, address = company.served.http, here(company, capture)
    async with _database_away(company.served):
        opened_ = await http.get(address, headers=browser)
        assert opened_.status_code == 503 and opened_.headers["retry-after"]
        assert "Wait a moment and try again" in opened_.text and '<a href="">Try again</a>' in opened_.text
        answered = await http.post(address + "/answer", data=form, headers=browser | {"accept-language": "sv"})
        assert answered.status_code == 503 and "det räknas en gång" in answered.text and "href" not in answered.text
        assert {each.headers["content-type"] for each in (opened_, answered)} == {"text/html; charset=utf-8"}
        assert (await http.get(address)).json()["code"] == "request.unavailable"
    assert (await http.post(address + "/answer", data=form, headers=browser)).status_code == 200
    assert (await company.decision(anna, "development", "traffic")).decision


@asynccontextmanager
async def _database_away(served):
    admin = await served.house.postgres.connect()
    await admin.execute(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false")
    try:
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", DATABASE)
        yield
    finally:
        await admin.execute(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS true")
        await admin.close()
        async with asyncio.timeout(PATIENCE):
            while (await served.http.get(f"{served.url}/health/ready")).status_code != 200:
                await asyncio.sleep(0.05)
