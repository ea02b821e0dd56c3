"""Consents that come in by other ways: somebody else's app asks for one, and those of an older system are taken over."""

import csv
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import async_playwright

from ops.home import ROOT
from sample import accounts, clients
from sample.cases import PEOPLE, PRIVATE, RECYCLED_NUMBER
from services.consent import receipts
from services.consent.contract import Receipt
from tests.nordtel import Nordtel, until

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ASKED = {"scopes": ["location-verification:verify"], "purpose": "dpv:ServiceOptimisation", "requestCaptureUrl": True}
STRANGER = "K1001003"
"""A subscriber of whom nobody has asked for anything yet."""


@pytest.fixture
def consumer() -> Iterator[str]:
    """The address of an API consumer's app, to which people are sent back."""

    class App(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<title>The app</title>")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    thread = threading.Thread(target=server.serve_forever, name="app")
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/back"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which .ci/run installs")
async def test_an_app_asks_and_she_logs_in_reads_answers_and_is_back_in_the_app(nordtel: Nordtel, consumer: str):
    app, ines = nordtel.machine("api-consumer"), nordtel.person("ines")
    login = next(each for each in accounts.read(nordtel.home / "sample" / "logins.json") if each["person"] == "ines")
    nordtel.person("privacy").put("/staff/v1/callbacks/api-consumer", {"urls": [consumer]})
    asked = ASKED | {"phoneNumber": f"+{PEOPLE['ines'].msisdn}", "callbackUrl": consumer}
    told = app.post("/consent-info/v0.2/retrieve", asked).json()
    assert told["statusInfo"][0]["statusReason"] == "PENDING"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(locale="sv-SE")
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        await page.goto(f"{told['captureUrl']}?state=xyz-1")
        await page.get_by_label("Användarnamn").fill(login["username"])
        await page.get_by_label("Lösenord").fill("not hers")
        await page.get_by_role("button", name="Logga in").click()
        await page.get_by_text("stämmer inte").wait_for()
        complaints.clear()  # the browser notes the 401
        await page.get_by_label("Användarnamn").fill(login["username"])
        await page.get_by_label("Lösenord").fill(login["password"])
        await page.get_by_role("button", name="Logga in").click()
        await page.get_by_text("Lokaliseringsuppgift").wait_for()
        assert "api-consumer" in await page.inner_text("main")
        await page.get_by_role("button", name="Ja, jag samtycker").click()
        await page.wait_for_url(f"{consumer}?*")
        assert parse_qs(urlsplit(page.url).query) == {"capture_result": ["granted"], "state": ["xyz-1"]}
        assert await page.title() == "The app" and complaints == []
        await browser.close()
    (valid,) = app.post("/consent-info/v0.2/retrieve", asked).json()["statusInfo"]
    assert valid["statusValidForProcessing"]
    given = ines.get("/v1/consents").json()["items"][0]
    assert (given["state"], given["purpose"]) == ("given", "development")
    proof = Receipt.model_validate_json(ines.get(f"/v1/receipts/{given['record']}").content)
    record = receipts.verify(proof, ines.get("/keys/consent").json())
    assert record["actor"] == {"client": "capture", "kind": "customer"} and record["type"] == "explicit"


def test_consents_of_an_older_system_are_taken_over_by_whatever_people_were_known_by_there(
    nordtel: Nordtel, tmp_path: Path
):
    """By the command line, through the public edge; a recycled number means whose it was on that day."""
    seeder, now = nordtel.machine("seeder", tenant=PRIVATE.id), datetime.now(UTC)
    long_ago, lately = (now - timedelta(days=600)).isoformat(), (now - timedelta(days=2)).isoformat()
    words = {"title": "Trafik", "body": "Vi utvecklar.", "rights": "Du kan återkalla.", "consequence": "Inget."}
    notice = {
        "notice": "older",
        "channel": "app",
        "texts": {"sv": words},
        "controller": "Nordtel AB",
        "purposes": [{"purpose": "development", "categories": ["traffic"]}],
        "withdrawal_url": "https://nordtel.example/samtycke",
        "valid_from": (now - timedelta(days=700)).isoformat(),
    }
    seeder.post("/v1/notices", notice)
    usual = {
        "purpose": "development",
        "state": "given",
        "notice": "older",
        "notice_version": 1,
        "occurred_at": long_ago,
    }
    rows = [
        usual | {"identifier_type": "msisdn", "identifier": f"+{RECYCLED_NUMBER}", "evidence_ref": "old/petra"},
        usual | {"identifier_type": "msisdn", "identifier": f"+{RECYCLED_NUMBER}", "occurred_at": lately},
        usual | {"identifier_type": "customer", "identifier": STRANGER},
        usual | {"identifier_type": "email", "identifier": "nobody@post.example"},
        usual | {"identifier_type": "msisdn", "identifier": "not a number"},
    ]
    path = tmp_path / "older.csv"
    with path.open("w", newline="") as file:
        sheet = csv.DictWriter(file, ["identifier_type", "identifier", *usual, "evidence_ref"])
        sheet.writeheader()
        sheet.writerows(rows)
    public = nordtel.stack.url("public")
    key = clients.folder(nordtel.stack.home) / "seeder.jwk"
    command = [sys.executable, "-m", "services.consent.importing", path, "--url", public, "--issuer", public]
    command += ["--client", "seeder", "--key", key, "--tenant", str(PRIVATE.id)]
    said = subprocess.run(command, cwd=ROOT, env=os.environ, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "3 taken, 2 refused" in said
    refused = (tmp_path / "older.csv.refused.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:2] for line in refused] == [[row, "consent.unknown_person"] for row in ("4", "5")]
    petra, rasmus = nordtel.person("petra"), nordtel.person("rasmus")
    taken = next(each for each in petra.get("/v1/consents").json()["items"] if each["notice"] == "older")
    assert taken["occurred_at"].startswith(long_ago[:19])
    later = next(each for each in rasmus.get("/v1/consents").json()["items"] if each["notice"] == "older")
    assert later["occurred_at"].startswith(lately[:19])
    proof = until("receipt", lambda: petra.get(f"/v1/receipts/{taken['record']}").content)
    record = receipts.verify(Receipt.model_validate_json(proof), petra.get("/keys/consent").json())
    assert record["evidence_ref"] == "old/petra" and record["actor"]["client"] == "seeder"
