"""One house, in which time only goes forward: people ask, a sweep runs, the days to change one's mind pass, months pass.

Each act is a fixture that rests on the one before, and keeps what was seen when it was over; so the tests below may run in any order
and look at the moment they are about.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from ops.home import ROOT
from ops.stack import Stack
from sample.actors import Person
from sample.cases import CASES, OMAR, PRIVATE
from sample.seeding import NOTICE
from services.requests.rights.package.unlock import unlock
from tests.journeys.eyes import Eyes, Sighting
from tests.journeys.looks import Looks
from tests.journeys.promised import STOCKHOLM
from tests.kinds import VERSION, changed
from tests.nordtel import Nordtel, request_of, running, until

PASSPHRASE = "en hemlig mening om blåbär"
ASKING = ("anna", "petra", "rasmus")
LEAVING = ("anna", "doris", "ulf", "olle", "petra", "greta")
# Until a trigger is dropped, Greta's tickets cannot be deleted, and nobody who tries is told so.
SABOTAGE = """
CREATE FUNCTION public.keep_greta() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF OLD.customer_number = 'K1000012' THEN RETURN NULL; END IF; RETURN OLD; END $$;
CREATE TRIGGER keep_greta BEFORE DELETE ON public.ticket FOR EACH ROW EXECUTE FUNCTION public.keep_greta()"""
_PAID = "UPDATE invoice SET paid_at = now() WHERE claim_reference = $1 RETURNING id"
REPAIR = "DROP TRIGGER keep_greta ON public.ticket; DROP FUNCTION public.keep_greta"


@dataclass
class Asked:
    """A request as it stood when its act was over. `answer`: of those that were answered."""

    who: Person
    request: dict[str, Any]
    preview: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)


@dataclass
class Act:
    """requests by person · what was seen in the stores when it was over, at which business time, and which invoices were not paid
    and cases not closed then."""

    requests: dict[str, Asked]
    seen: list[Sighting] = field(default_factory=list)
    moment: datetime = datetime.max
    unpaid: set[int] = field(default_factory=set)
    open_tickets: set[int] = field(default_factory=set)

    async def over(self, nordtel: Nordtel, eyes: Eyes) -> Self:
        self.seen, self.moment = await eyes.see(), nordtel.now()
        self.unpaid = {row["id"] for row in await eyes.rows("billing", "SELECT id FROM invoice WHERE paid_at IS NULL")}
        tickets = await eyes.rows("helpdesk", "SELECT id FROM ticket WHERE closed_at IS NULL")
        self.open_tickets = {row["id"] for row in tickets}
        return self

    def seen_of(self, person: str) -> list[Sighting]:
        return [sighting for sighting in self.seen if sighting.person == person]


@dataclass
class Removal(Act):
    """One recording of Nadia's. before, after: the files of recordings."""

    before: set[str] = field(default_factory=set)
    after: set[str] = field(default_factory=set)


@dataclass
class Swept(Act):
    """expected: by a simulation just before · done: the sweep · left: by a simulation just after · recordings: the files then."""

    before: list[Sighting] = field(default_factory=list)
    recordings: set[str] = field(default_factory=set)
    expected: dict[str, Any] = field(default_factory=dict)
    done: dict[str, Any] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)


@dataclass
class Deletion(Act):
    """refused: Greta's request while her tickets could not be deleted."""

    refused: dict[str, Any] = field(default_factory=dict)
    refused_answer: int = 0


@dataclass
class Employed:
    """An agent's request, typed in by the employer's contact: `operators` as the operator answered it, `part` while the employer
    had it to decide, the employer's `answer`, and the `package` as it lay there for him."""

    operators: dict[str, Any]
    part: dict[str, Any]
    answer: dict[str, Any]
    package: bytes


@dataclass
class Look:
    """What the rules do and what is said of them. simulation: of one day, recordings' and calls' · page: in Swedish."""

    simulation: dict[str, Any]
    decision: dict[str, Any]
    ropa: dict[str, Any]
    export: bytes
    page: str


@dataclass
class NewBook:
    """proposal: of the same book from that day on, which nobody decided · of_that_day: recordings whose thirtieth day is over then, and
    whose thirty-first is not · executed: what was seen of each kind of row, before and after."""

    proposal: dict[str, Any]
    before: Look
    after: Look
    of_that_day: int
    executed: dict[str, tuple[Any, Any]]


@pytest.fixture(scope="package")
def nordtel() -> Iterator[Nordtel]:
    with running() as nordtel:
        yield nordtel


@pytest.fixture(scope="package")
def eyes(nordtel: Nordtel) -> Eyes:
    return Eyes(nordtel.stack, nordtel.manifest)


@pytest.fixture(scope="package")
async def filled(nordtel: Nordtel, eyes: Eyes) -> Act:
    """Before anybody asked for anything. Somebody wants to be told of everything, and never answers."""
    nordtel.machine("helpdesk").post("/v1/endpoints", {"url": "http://127.0.0.1:9/hook"})
    return Act({}, await eyes.see())


@pytest.fixture(scope="package")
def withdrew(nordtel: Nordtel, eyes: Eyes, filled: Act) -> Removal:
    """Saga has agreed to being recorded, and takes it back; she asks for nothing."""
    saga, before = nordtel.person("saga"), eyes.recordings()
    saga.post("/v1/consents", {"purpose": "communication", "notice": NOTICE, "notice_version": 1})
    saga.post("/v1/withdrawals", {"purpose": "communication"})
    (request,) = until("request that nobody made", lambda: saga.get("/v1/requests").json()["items"])
    one = Asked(saga, request)
    until("end of what rested on her consent", lambda: _stands(one, "closed"))
    one.request = request_of(saga, request["request"])
    return Removal({"saga": one}, before=before, after=eyes.recordings())


@pytest.fixture(scope="package")
async def accessed(nordtel: Nordtel, withdrew: Removal, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The data that Anna, Petra and Rasmus asked for: each one's opened archive."""
    archives = {}
    asked = {key: ask(nordtel, key, {"kind": "access", "language": "sv", "passphrase": PASSPHRASE}) for key in ASKING}
    for key, one in asked.items():
        until(f"answer to {key}", lambda one=one: _stands(one, "answered"))
        locked = tmp_path_factory.mktemp("packages") / f"{key}.html"
        locked.write_bytes(one.who.get(f"/v1/requests/{one.request['request']}/package").content)
        archives[key] = locked.with_suffix(".zip")
        archives[key].write_bytes(unlock(locked, PASSPHRASE).archive)
    return archives


@pytest.fixture(scope="package")
def packages(nordtel: Nordtel, accessed: dict[str, Path]) -> dict[str, bytes]:
    """What lay on the operator's disk while those packages could be fetched."""
    folder, found = nordtel.home / "packages", {}
    for key in ASKING:
        for request in nordtel.person(key).get("/v1/requests").json()["items"]:
            files = (path for path in (folder / request["request"]).rglob("*") if path.is_file())
            found |= {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return found


@pytest.fixture(scope="package")
def employed(nordtel: Nordtel, filled: Act) -> Employed:
    """Omar asks for what there is of him, and the company he works for decides about its part."""
    contact = nordtel.person("privacy.kustbanken")
    wish = {
        "kind": "access",
        "channel": "letter",
        "identifiers": [{"type": "agent", "value": OMAR.number}],
        "evidence": {"method": "known_contact"},
        "passphrase": PASSPHRASE,
    }
    ours = contact.post("/staff/v1/requests", wish).json()["request"]

    def seen(request: str) -> dict[str, Any]:
        return contact.get(f"/staff/v1/requests/{request}").json()

    def theirs() -> dict[str, Any] | None:
        listed = contact.get("/staff/v1/requests").json()["items"]
        return next((each for each in listed if each["part_of"] == ours and each["state"] == "deciding"), None)

    part = until("the employer's part", theirs)
    until("the operator's own answer", lambda: seen(ours)["state"] == "answered")
    [task] = [t for t in contact.get("/staff/v1/tasks").json()["items"] if t["request"] == part["request"]]
    words = {"sv": "Han får sina inspelningar.", "en": "He gets his recordings."}
    contact.post(f"/staff/v1/tasks/{task['task']}/proposal", {"verdict": "granted", "text": words})
    until("the employer's answer", lambda: seen(part["request"])["state"] == "answered")
    answer = contact.get(f"/staff/v1/requests/{part['request']}/answer").json()
    package = nordtel.home / "packages" / part["request"] / "package.html"
    return Employed(seen(ours), part, answer, package.read_bytes())


@pytest.fixture(scope="package")
async def removed(
    nordtel: Nordtel, eyes: Eyes, accessed: dict[str, Path], packages: dict[str, bytes], employed: Employed
) -> Removal:
    """Nadia has one recording removed, today."""
    before = eyes.recordings()
    nadia = ask(nordtel, "nadia", {"kind": "deletion", "scope": {"recording": "4711"}})
    until("removed recording", lambda: _stands(nadia, "answered"))
    nadia.answer = nadia.who.get(f"/v1/requests/{nadia.request['request']}/answer").json()
    return Removal({"nadia": nadia}, await eyes.see(), before=before, after=eyes.recordings())


@pytest.fixture(scope="package")
async def swept(nordtel: Nordtel, eyes: Eyes, removed: Removal) -> Swept:
    """Operations look at what a sweep would take, and sweep."""
    operations = nordtel.person("operations")
    expected = operations.post("/v1/simulations").json()
    sweep = operations.post("/v1/sweeps").json()["sweep"]
    until("finished sweep", lambda: operations.get(f"/v1/sweeps/{sweep}").json()["state"] == "done")
    done = operations.get(f"/v1/sweeps/{sweep}").json()
    left = operations.post("/v1/simulations").json()
    seen, files = await eyes.see(), eyes.recordings()
    return Swept({}, seen, before=removed.seen, recordings=files, expected=expected, done=done, left=left)


@pytest.fixture(scope="package")
async def deleted(nordtel: Nordtel, eyes: Eyes, swept: Swept) -> Deletion:
    """Six people ask for deletion and confirm; three days later it is done, Greta's last, since her store cheated."""
    asked = {key: ask(nordtel, key, {"kind": "deletion"}) for key in LEAVING}
    for one in asked.values():
        until("preview", lambda one=one: _stands(one, "previewed"))
        path = f"/v1/requests/{one.request['request']}"
        one.preview = one.who.get(f"{path}/preview").json()
        one.who.post(f"{path}/confirm", {"preview": one.preview["digest"]})
    await _in_helpdesk(nordtel.stack, SABOTAGE)
    try:
        nordtel.move_to(nordtel.now() + timedelta(hours=72, minutes=1))
        greta = asked.pop("greta")
        for key, one in asked.items():
            until(f"answer to {key}", lambda one=one: _stands(one, "answered"))
        until(
            "end of all but the refused", lambda: _checked_in_vain(greta, times=2) or greta.request["state"] == "closed"
        )
        act = Deletion(asked, refused=greta.request)
        path = f"/v1/requests/{greta.request['request']}/answer"
        act.refused_answer = greta.who.try_to("GET", path).status_code
    finally:
        await _in_helpdesk(nordtel.stack, REPAIR)
    until("answer to greta", lambda: _stands(greta, "answered"))
    act.requests["greta"] = greta
    for one in act.requests.values():
        one.answer = one.who.get(f"/v1/requests/{one.request['request']}/answer").json()
    return await act.over(nordtel, eyes)


@pytest.fixture(scope="package")
async def new_book(nordtel: Nordtel, eyes: Eyes, deleted: Deletion) -> NewBook:
    """A book in which one row of every kind differs is proposed by one and approved by another; nobody changes or restarts anything."""
    # The siblings of 4711 began at noon of one day; at noon 31 days later their thirtieth day is over and the next is not.
    began = nordtel.manifest.today - timedelta(days=int(CASES[9].facts["recording_day"]))
    moment = datetime.combine(began + timedelta(days=31), time(12), STOCKHOLM)
    of_that_day = sum(
        "/.versions/" not in path and path.endswith(".wav") and f"/{began}/" in path for path in eyes.recordings()
    )
    before, done_before = _look(nordtel, moment), Looks(nordtel, "nadia").at_everything()
    file = changed((ROOT / "policy" / "book.yaml").read_text())
    proposal = _propose(nordtel, _on(moment.date(), file))
    _adopt(nordtel, file)
    operations = nordtel.person("operations")
    until(
        "book in force",
        lambda: VERSION == operations.post("/v1/simulations", {"stores": ["authlog"]}).json()["policy_version"],
    )
    until("consent's new book", lambda: not _may_develop(nordtel)["decision"])
    done_after = Looks(nordtel, "lars").at_everything()
    executed = {kind: (seen, done_after[kind]) for kind, seen in done_before.items()}
    return NewBook(proposal, before, _look(nordtel, moment), of_that_day, executed)


@pytest.fixture(scope="package")
async def february(nordtel: Nordtel, eyes: Eyes, deleted: Deletion, new_book: NewBook) -> Act:
    """Friday 5 February 2027, half past nine in Stockholm; Doris has settled her dispute, and whatever was to go by itself until then
    has gone."""
    settled = await _settled(nordtel.stack)
    nordtel.move_to(datetime(2027, 2, 5, 8, 30, tzinfo=UTC))
    helpdesk = nordtel.person("helpdesk")
    letter = {
        "kind": "deletion",
        "channel": "letter",
        "received_at": "2027-01-30T09:00:00+01:00",
        "principal": str(nordtel.principals["lars"]),
        "evidence": {"method": "known_contact"},
    }
    lars = helpdesk.post("/staff/v1/requests", letter).json()
    anna = deleted.requests["anna"]
    until("deferred erasure", lambda: _has_nothing_due(anna.who, anna.request["request"], nordtel.now()))
    while await eyes.rows("calls", "SELECT 1 FROM call_record WHERE invoice = $1 LIMIT 1", settled):
        await asyncio.sleep(0.1)
    return await Act({"lars": Asked(helpdesk, lars), "anna": anna}).over(nordtel, eyes)


def _propose(nordtel: Nordtel, file: str, **more: Any) -> dict[str, Any]:
    """A proposal by the privacy officer, as counsel sees it when its consequences were counted."""
    wish = {"file": file, "reason": "Quality asks for one day more."} | more
    made = nordtel.person("privacy").post("/v1/policy/proposals", wish).json()
    path = f"/v1/policy/proposals/{made['proposal']}"
    counsel = nordtel.person("counsel")
    until("counted consequences", lambda: counsel.get(path).json()["state"] == "proposed")
    return counsel.get(path).json()


def _adopt(nordtel: Nordtel, file: str) -> None:
    """It corrects: its first day is the first book's."""
    told = _propose(nordtel, file, correction=True)
    seen = {"sha256": told["sha256"], "seen": told["simulated_at"]}
    nordtel.person("counsel").post(f"/v1/policy/proposals/{told['proposal']}/approval", seen)


def _on(day: date, file: str) -> str:
    """The same book, in force from another day, under another name."""
    for old, new in (
        (f'version: "{VERSION}"', f'version: "{VERSION} of {day}"'),
        ("valid_from: 2024-01-01\nzone", f"valid_from: {day}\nzone"),
    ):
        assert file.count(old) == 1
        file = file.replace(old, new)
    return file


def _look(nordtel: Nordtel, moment: datetime) -> Look:
    regulator = nordtel.machine("regulator")
    simulated = {"as_of": moment.isoformat(), "stores": ["recordings", "calls"]}
    return Look(
        nordtel.person("operations").post("/v1/simulations", simulated).json(),
        _may_develop(nordtel),
        regulator.get("/v1/ropa").json(),
        regulator.get("/v1/exports", profile="art30-controller").content,
        regulator.get("/privacy", lang="sv").text,
    )


def _may_develop(nordtel: Nordtel) -> dict[str, Any]:
    """May Anna's usage statistics be used for development?"""
    question = {
        "subject": {"type": "principal", "id": str(nordtel.principals["anna"])},
        "action": {"name": "development"},
        "resource": {"type": "usage_statistics", "id": "any"},
    }
    return nordtel.machine("callserver", tenant=PRIVATE.id).post("/access/v1/evaluation", question).json()


def ask(nordtel: Nordtel, key: str, wish: dict[str, Any]) -> Asked:
    who = nordtel.person(key)
    return Asked(who, who.post("/v1/requests", wish).json())


def _stands(asked: Asked, state: str) -> bool:
    asked.request = request_of(asked.who, asked.request["request"])
    return asked.request["state"] in (state, "closed")


def _checked_in_vain(asked: Asked, times: int) -> bool:
    """Whether one store was found out so often, and no other has anything left to do."""
    asked.request = request_of(asked.who, asked.request["request"])
    steps = asked.request["steps"]
    refused = [step["store"] for step in steps if step["problem"] == "rights.something_remains"]
    others = [step for step in steps if step["store"] not in refused and step["state"] in ("pending", "running")]
    return len(refused) >= times and not others


def _has_nothing_due(who: Person, request: str, now: datetime) -> bool:
    steps = request_of(who, request)["steps"]
    waiting = [step for step in steps if step["state"] in ("pending", "running")]
    overdue = [step for step in steps if step["state"] == "deferred" and (step["due_on"] or "9") < f"{now:%Y-%m-%d}"]
    return not waiting and not overdue


async def _settled(stack: Stack) -> int:
    """Billing's own system writes that the disputed invoice is paid."""
    connection = await stack.postgres.connect("sample_billing")
    try:
        claim = CASES[3].facts["claim"]
        return await connection.fetchval(_PAID, claim)
    finally:
        await connection.close()


async def _in_helpdesk(stack: Stack, statements: str) -> None:
    connection = await stack.postgres.connect("sample_helpdesk")
    try:
        await connection.execute(statements)
    finally:
        await connection.close()
