"""Endpoints hear what they asked for, signed, again when they failed, and never another organisation's."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle
from uuid import UUID, uuid4

import pytest
import yaml
from joserfc.jwk import OKPKey
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from chassis.ids import made_at, new_id
from ops.home import ROOT
from services.registry.contract import HOUSE
from services.webhooks import commands
from services.webhooks.app import create_app
from services.webhooks.contract import EVENT_TYPES, SUBJECT_OF, SUBJECTS
from tests.patience import PATIENCE
from tests.serving import serve

TABLE = yaml.safe_load((ROOT / "services" / "identity" / "clients.yaml").read_text())


async def secret_of(webhooks, endpoint: str) -> str:
    return (await webhooks.call("GET", f"/v1/endpoints/{endpoint}/secrets")).json()["secrets"][0]


async def test_an_event_arrives_signed_by_the_endpoints_secret_and_our_published_key(webhooks, receiver):
    endpoint = await webhooks.register(receiver.url, "consent.given")
    event = await webhooks.happen("consent.given")
    await receiver.until_heard(1)
    headers, body = receiver.heard[0]
    told = Webhook(await secret_of(webhooks, endpoint["endpoint"])).verify(body, headers)
    assert (told["id"], told["type"], told["tenant"]) == (str(event.id), "consent.given", str(webhooks.tenant))
    keys = (await webhooks.http.get("/keys")).json()["keys"]
    ours = next(OKPKey.import_key(key) for key in keys if "signing" in key["kid"]).public_key
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    (v1a,) = [part[4:] for part in headers["webhook-signature"].split() if part.startswith("v1a,")]
    ours.verify(base64.b64decode(v1a), signed)
    assert len(body) < 20_000


async def test_only_the_wanted_types_of_the_own_organisation_arrive(webhooks, receiver):
    await webhooks.register(receiver.url, "consent.withdrawn")
    await webhooks.happen("consent.given")
    await webhooks.happen("consent.withdrawn", tenant=uuid4())
    await webhooks.happen("consent.withdrawn")
    await receiver.until_heard(1)
    await asyncio.sleep(0.3)
    assert [json.loads(body)["type"] for _, body in receiver.heard] == ["consent.withdrawn"]


async def test_a_fact_of_the_house_reaches_every_organisation_that_names_it(webhooks, receiver):
    await webhooks.register(receiver.url, "register.changed")
    everything = await webhooks.call("POST", "/v1/endpoints", {"url": receiver.url, "types": []}, tenant=uuid4())
    assert everything.status_code == 201
    fact = await webhooks.happen("register.changed", tenant=HOUSE, data={"entry": str(uuid4()), "kind": "activity"})
    await webhooks.hear(fact)
    await webhooks.happen("access.granted", tenant=HOUSE)
    await receiver.until_heard(1)
    await asyncio.sleep(0.5)
    assert [json.loads(body)["id"] for _, body in receiver.heard] == [str(fact.id)]


async def test_a_notice_that_was_taken_is_said_to_be(webhooks, receiver):
    await webhooks.register(receiver.url)
    proven = await webhooks.happen("subprocessor.change_announced")
    await webhooks.happen("consent.given")
    delivered = await webhooks.until("delivered", 2)
    token = webhooks.issuer.token("webhooks", "events.read", client_id="registry")
    # The event gets its place in the feed shortly after the commit: wait for it as the registry does.
    feed = await webhooks.http.get("/events?types=delivery.made&wait=10", headers={"authorization": f"Bearer {token}"})
    mine = [each["data"] for each in feed.json()["items"] if each["tenant"] == str(webhooks.tenant)]
    [delivery] = [each for each in delivered if each["event"] == str(proven.id)]
    assert mine == [{"endpoint": delivery["endpoint"], "delivery": delivery["delivery"], "event": str(proven.id)}]


async def test_an_event_heard_twice_is_one_delivery(webhooks, receiver):
    await webhooks.register(receiver.url)
    event = await webhooks.happen()
    await asyncio.gather(*(webhooks.hear(event) for _ in range(10)))
    await webhooks.until("delivered")
    assert len(await webhooks.deliveries()) == 1 and len(receiver.heard) == 1


@pytest.mark.parametrize("type", ["consent.given", "register.changed"])
async def test_of_a_feed_that_is_heard_anew_an_endpoint_gets_nothing_from_before_it_was_registered(
    webhooks, receiver, type
):
    await webhooks.register(receiver.url, type)
    whose = HOUSE if type == "register.changed" else None
    long_ago = UUID(int=new_id().int - (timedelta(days=2) // timedelta(milliseconds=1) << 80))
    assert made_at(long_ago).date() == (datetime.now(UTC) - timedelta(days=2)).date()
    await webhooks.happen(type, whose, id=long_ago)
    now = await webhooks.happen(type, whose)
    [told] = await webhooks.until("delivered")
    assert told["event"] == str(now.id) and len(receiver.heard) == 1


async def test_a_failed_delivery_is_tried_again_with_the_same_id(webhooks, receiver, quick_retries):
    receiver.answers = [Response(status_code=500), Response(status_code=204)]
    await webhooks.register(receiver.url)
    await webhooks.happen()
    (delivered,) = await webhooks.until("delivered")
    assert (delivered["tries"], delivered["problem"]) == (2, None)
    assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == 1


async def test_processes_whose_clocks_differ_try_what_another_one_left(webhooks, receiver, quick_retries, monkeypatch):
    """Each step by another process, as it were: whoever finds that nothing is due yet forgets it."""
    clocks = cycle([0, 60])
    monkeypatch.setattr(commands, "_now", lambda: datetime.now(UTC) + timedelta(seconds=next(clocks)))
    receiver.answers = [Response(status_code=500), Response(status_code=500), Response(status_code=204)]
    await webhooks.register(receiver.url)
    await webhooks.happen()
    (delivered,) = await webhooks.until("delivered", seconds=20)
    assert delivered["tries"] == 3 and len(receiver.heard) == 3


async def test_two_processes_send_each_event_once_and_count_their_tries_together(webhooks, receiver, quick_retries):
    async with serve(create_app(webhooks.app.state.settings)):
        await webhooks.register(receiver.url)
        for _ in range(60):
            await webhooks.happen()
        await webhooks.until("delivered", 60)
        assert len(receiver.heard) == 60
        receiver.answers = [Response(status_code=503)]
        for _ in range(30):
            await webhooks.happen()
        dead = await webhooks.until("dead", 30)
    assert {each["tries"] for each in dead} == {3} and len(receiver.heard) == 60 + 30 * 3


async def test_what_never_succeeds_is_a_dead_letter_and_can_be_replayed(webhooks, receiver, quick_retries):
    receiver.answers = [Response(status_code=503)]
    await webhooks.register(receiver.url)
    await webhooks.happen()
    (dead,) = await webhooks.until("dead")
    assert (dead["tries"], dead["problem"], dead["next_at"]) == (3, "http.503", None)
    receiver.answers = [Response(status_code=200)]
    assert (await webhooks.call("POST", f"/v1/deliveries/{dead['delivery']}/replay")).status_code == 200
    assert (await webhooks.until("delivered"))[0]["delivery"] == dead["delivery"]


async def test_a_redirect_is_a_failure_and_never_followed(webhooks, receiver, quick_retries):
    receiver.answers = [Response(status_code=302, headers={"location": "http://169.254.169.254/latest"})]
    await webhooks.register(receiver.url)
    await webhooks.happen()
    (dead,) = await webhooks.until("dead")
    assert dead["problem"] == "http.302"


async def test_gone_disables_the_endpoint_and_ends_what_waits(webhooks, receiver):
    receiver.answers = [Response(status_code=410)]
    endpoint = await webhooks.register(receiver.url)
    await webhooks.happen()
    (dead,) = await webhooks.until("dead")
    (known,) = (await webhooks.call("GET", "/v1/endpoints")).json()["items"]
    assert (known["endpoint"], known["state"], known["problem"]) == (endpoint["endpoint"], "disabled", "gone")
    refused = await webhooks.call("POST", f"/v1/deliveries/{dead['delivery']}/replay")
    assert refused.json()["code"] == "webhooks.endpoint_disabled"


async def test_nobody_listening_is_told_in_a_word_and_tried_later(webhooks):
    await webhooks.register("http://127.0.0.1:9/hook")
    await webhooks.happen()
    async with asyncio.timeout(PATIENCE):
        while not (found := await webhooks.deliveries())[0]["tries"]:
            await asyncio.sleep(0.05)
    assert (found[0]["state"], found[0]["problem"]) == ("pending", "unreachable") and found[0]["next_at"]


async def test_a_rotated_secret_signs_beside_the_older_one(webhooks, receiver):
    endpoint = (await webhooks.register(receiver.url))["endpoint"]
    older = await secret_of(webhooks, endpoint)
    assert (await webhooks.call("POST", f"/v1/endpoints/{endpoint}/rotation")).status_code == 201
    newer = await secret_of(webhooks, endpoint)
    await webhooks.happen()
    await receiver.until_heard(1)
    headers, body = receiver.heard[0]
    assert newer != older
    for secret in (older, newer):
        Webhook(secret).verify(body, headers)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "https://hooks.example:8443/"}, "webhooks.address_refused"),
        ({"url": "https://hooks..example/"}, "webhooks.address_refused"),
        ({"url": f"https://{'a' * 64}.example/"}, "webhooks.address_refused"),
        ({"url": "https://127。0。0。1/"}, "webhooks.address_refused"),
        ({"url": "https://hooks.example/", "types": ["order.approved"]}, "webhooks.unknown_type"),
        ({"url": "ftp://hooks.example/"}, "request.invalid"),
        ({"url": "https://hooks.example/", "tenant": "x"}, "request.invalid"),
        ({}, "request.invalid"),
    ],
)
async def test_a_bad_endpoint_is_a_clear_problem(webhooks, body, code):
    answer = await webhooks.call("POST", "/v1/endpoints", body)
    assert answer.json()["code"] == code
    assert (await webhooks.call("GET", "/v1/endpoints")).json()["items"] == []


async def test_a_client_has_so_many_endpoints_and_no_more_however_many_it_registers_at_once(webhooks, receiver):
    wish = {"url": receiver.url, "types": ["consent.given"]}
    answers = await asyncio.gather(*(webhooks.call("POST", "/v1/endpoints", wish) for _ in range(30)))
    made = [each.json() for each in answers if each.status_code == 201]
    assert len(made) == 20
    assert {each.json()["code"] for each in answers if each.status_code != 201} == {"webhooks.too_many_endpoints"}
    await webhooks.register(receiver.url, client="callserver")
    assert (await webhooks.call("POST", f"/v1/endpoints/{made[0]['endpoint']}/disable")).status_code == 200
    await webhooks.register(receiver.url)


async def test_another_organisations_endpoint_and_delivery_do_not_exist(webhooks, receiver):
    endpoint = (await webhooks.register(receiver.url))["endpoint"]
    await webhooks.happen()
    (delivered,) = await webhooks.until("delivered")
    stranger = uuid4()
    for method, path in (
        ("GET", f"/v1/endpoints/{endpoint}/secrets"),
        ("POST", f"/v1/endpoints/{endpoint}/rotation"),
        ("POST", f"/v1/endpoints/{endpoint}/disable"),
        ("POST", f"/v1/deliveries/{delivered['delivery']}/replay"),
    ):
        assert (await webhooks.call(method, path, tenant=stranger)).status_code == 404, path
    assert (await webhooks.call("GET", "/v1/deliveries", tenant=stranger)).json()["items"] == []


async def test_the_secrets_are_for_the_client_that_registered_and_no_other_of_its_organisation(webhooks, receiver):
    endpoint = (await webhooks.register(receiver.url))["endpoint"]
    for method, path in (("GET", "secrets"), ("POST", "rotation")):
        refused = await webhooks.call(method, f"/v1/endpoints/{endpoint}/{path}", client="another-system")
        assert refused.status_code == 404
    assert (await webhooks.call("GET", f"/v1/endpoints/{endpoint}/secrets")).status_code == 200


async def test_a_subscription_needs_the_right_to_hear_what_it_is_about(webhooks, receiver):
    wish = {"url": receiver.url, "types": ["recording.stop", "request.received", "consent.given"]}
    refused = await webhooks.call("POST", "/v1/endpoints", wish, client="callserver", hear=["recording"])
    assert (refused.status_code, refused.json()["code"]) == (403, "webhooks.may_not_hear")
    assert refused.json()["detail"] == "Missing: hear.consent, hear.rights."
    nothing = await webhooks.call("POST", "/v1/endpoints", {"url": receiver.url}, hear=[])
    assert nothing.json()["code"] == "webhooks.may_not_hear"
    assert (await webhooks.call("GET", "/v1/endpoints", kind="staff")).json()["items"] == []


async def test_whoever_names_no_type_hears_only_what_it_has_a_right_to(webhooks, receiver):
    registered = await webhooks.register(receiver.url, client="callserver", hear=["recording"])
    assert registered["subjects"] == ["recording"]
    for type in (
        "consent.given",
        "request.received",
        "principal.linked",
        "finding.opened",
        "a.later_one",
        "recording.stop",
    ):
        await webhooks.happen(type)
    fact = await webhooks.happen("register.changed", tenant=HOUSE)
    async with webhooks.app.state.database.transaction(webhooks.tenant) as tx:
        await commands.deliver_named(tx, fact.id, fact.type, b"{}")
    await receiver.until_heard(1)
    assert [each["type"] for each in await webhooks.deliveries(client="callserver")] == ["recording.stop"]


def test_every_type_of_event_has_one_subject():
    assert sum(map(len, SUBJECTS.values())) == len(SUBJECT_OF) == len(EVENT_TYPES)
    assert {f"hear.{subject}" for subject in SUBJECTS} <= set(TABLE["audiences"]["webhooks"])


def test_in_the_reviewed_table_nobody_hears_more_than_its_work():
    may = {
        name: {scope for scope in row["audiences"].get("public", ()) if scope.startswith("hear.")}
        for name, row in TABLE["clients"].items()
    }
    assert {name: scopes for name, scopes in may.items() if scopes} == {
        "helpdesk": {"hear.consent", "hear.rights", "hear.anonymizer"},
        "callserver": {"hear.recording"},
        "regulator": {"hear.registry"},
    }


async def test_one_system_finds_and_ends_nothing_of_another_one_and_who_is_on_call_sees_all(webhooks, receiver):
    endpoint = (await webhooks.register(receiver.url))["endpoint"]
    await webhooks.happen()
    (delivered,) = await webhooks.until("delivered")
    for path in ("/v1/endpoints", "/v1/deliveries"):
        assert (await webhooks.call("GET", path, client="callserver")).json()["items"] == []
        assert len((await webhooks.call("GET", path, client="staff", kind="staff")).json()["items"]) == 1
    for path in (f"/v1/endpoints/{endpoint}/disable", f"/v1/deliveries/{delivered['delivery']}/replay"):
        assert (await webhooks.call("POST", path, client="callserver")).status_code == 404
    assert (await webhooks.call("POST", f"/v1/endpoints/{endpoint}/disable", client="staff", kind="staff")).json()[
        "state"
    ] == "disabled"


async def test_secrets_are_sealed_at_rest(webhooks, receiver):
    endpoint = (await webhooks.register(receiver.url))["endpoint"]
    secret = await secret_of(webhooks, endpoint)
    async with webhooks.app.state.database.transaction(webhooks.tenant) as tx:
        stored = await tx.connection.fetchval("SELECT secret FROM endpoint")
        replies = await tx.connection.fetch("SELECT reply FROM idempotency")
    assert secret.encode() not in stored
    assert all(secret.encode() not in row["reply"] for row in replies)


@pytest.mark.parametrize("type", ["consent.given", "recording.stop"])
async def test_a_receiver_that_never_answers_holds_up_nobody_else(webhooks, receiver, monkeypatch, type):
    monkeypatch.setattr("services.webhooks.jobs.PATIENCE", 10)
    async with _silent() as (url, tried):
        await webhooks.register(url)
        for _ in range(80):
            await webhooks.happen(type)
        async with asyncio.timeout(PATIENCE):
            await tried.wait()
        other = uuid4()
        await webhooks.register(receiver.url, tenant=other)
        await webhooks.happen(type, tenant=other)
        await receiver.until_heard(1, seconds=4)
    # All of them are still to come, once it answers.
    assert len(await webhooks.deliveries(limit=500, state="pending")) == 80


async def test_what_waited_for_a_slow_receiver_arrives_and_counts_no_try_that_was_not_made(webhooks, receiver):
    begun = asyncio.Event()

    async def slowly(request):
        begun.set()
        await asyncio.sleep(0.4)
        return Response(status_code=204)

    app = Starlette(routes=[Route("/hook", slowly, methods=["POST"])])
    async with serve(app) as url:
        await webhooks.register(f"{url}/hook")
        for _ in range(30):
            await webhooks.happen()
        assert {each["tries"] for each in await webhooks.until("delivered", 30)} == {1}


@asynccontextmanager
async def _silent():
    """(url, whether somebody came): takes connections and says nothing, as what is left behind a broken load balancer does."""
    came = asyncio.Event()

    async def take(_, writer):
        came.set()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", came
    finally:
        server.close()
