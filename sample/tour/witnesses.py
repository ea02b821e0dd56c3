"""Who else saw it: the helpdesk's endpoint, the regulator, and anybody with the published keys."""

import base64
import hmac
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
from joserfc.jwk import OKPKey

from chassis.ledger import checkpoint
from chassis.ledger.verify import verify_ledger
from sample.actors import Actor, Cast
from sample.tour.narrator import Narrator, TourFailed
from services.registry import verify as bundle_verifier

LEDGERS = ("consent", "rights", "anonymizer", "registry", "webhooks", "identity")


class Heard:
    """What the helpdesk's system received, and the secrets it checks signatures with."""

    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, str], bytes]] = []
        self.secret = ""
        self.key: Any = None


@contextmanager
def listening(cast: Cast, tell: Narrator) -> Iterator[Heard]:
    """The helpdesk's own server on a free loopback port, registered as an endpoint for as long as the tour goes on."""
    heard = Heard()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.messages.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not on the tour's screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with cast.machine("helpdesk") as helpdesk:
            url = f"http://127.0.0.1:{server.server_port}/wardline"
            endpoint = helpdesk.post("/v1/endpoints", {"url": url}).json()["endpoint"]
            heard.secret = helpdesk.get(f"/v1/endpoints/{endpoint}/secrets").json()["secrets"][0]
            keys = helpdesk.get("/keys/webhooks").json()["keys"]
            heard.key = next(OKPKey.import_key(key) for key in keys if "signing" in key["kid"]).public_key
            print(f"   the helpdesk's system listens at {url} and subscribed to every event it may hear", flush=True)
            yield heard
            helpdesk.post(f"/v1/endpoints/{endpoint}/disable")
    finally:
        server.shutdown()
        server.server_close()


def helpdesk_heard_everything(tell: Narrator, heard: Heard) -> None:
    tell.scene("The helpdesk's system got each event, signed")
    wanted = {
        "consent.given",
        "consent.withdrawn",
        "request.received",
        "request.answered",
        "erasure.done",
        "sweep.done",
    }
    tell.until("event on its way", lambda: wanted <= {orjson.loads(body)["type"] for _, body in heard.messages})
    for headers, body in heard.messages:
        _check_signature(heard, headers, body)
    types = Counter(orjson.loads(body)["type"] for _, body in heard.messages)
    tell.table(("event", "deliveries"), sorted(types.items()))
    tell.must(
        True, f"all {len(heard.messages)} deliveries bear a valid HMAC and an Ed25519 signature (Standard Webhooks)"
    )
    about_orders = [kind for kind in types if kind.startswith(("order.", "hold", "task.", "package.", "authority."))]
    tell.must(not about_orders, "none of them is about an order")


def regulator_verifies_the_bundle(cast: Cast, tell: Narrator) -> None:
    tell.scene("The regulator downloads the register and verifies it")
    with cast.machine("regulator") as regulator:
        raw = regulator.get("/v1/exports", profile="art30-controller").content
        keys = regulator.get("/keys/registry").json()
    path = tell.keep("regulator-bundle.zip", raw)
    keys_path = tell.keep("registry-keys.json", json.dumps(keys).encode())
    faults = bundle_verifier.check(raw, keys)
    tell.must(not faults, f"every file, signature and ledger proof in {path.name} holds ({len(raw):,} bytes)")
    tell.say(f"check it yourself: .venv/bin/python -m services.registry.verify {path} --keys {keys_path}")


def anybody_verifies_the_ledger(cast: Cast, tell: Narrator) -> None:
    tell.scene("Anybody verifies the ledgers, and then somebody changes a byte")
    copies = {}
    with cast.person("auditor") as auditor:
        for service in LEDGERS:
            lines, note, keys = _downloaded(auditor, service)
            report = verify_ledger(lines, [note], checkpoint.public_keys(keys))
            tell.must(report.holds, f"{service}: {report.size} entries lead to the root that its key signed")
            copies[service] = (lines, note, keys)
    lines, note, keys = copies["consent"]
    folder = tell.out / "ledger-consent"
    for name, content in (
        ("entries.jsonl", "\n".join(lines)),
        ("checkpoint.txt", note),
        ("jwks.json", json.dumps(keys)),
    ):
        tell.keep(f"ledger-consent/{name}", content.encode())
    tell.say(f"check it yourself: .venv/bin/python -m chassis.ledger.verify {folder} --keys {folder / 'jwks.json'}")
    victim = len(lines) // 2
    forged = [*lines]
    forged[victim] = (
        forged[victim].replace("2026-", "2025-", 1) if "2026-" in forged[victim] else _one_digit_on(forged[victim])
    )
    report = verify_ledger(forged, [note], checkpoint.public_keys(keys))
    tell.must(
        not report.holds and any(fault.position == victim + 1 for fault in report.faults),
        f"in a copy one byte is changed, and the verifier says where: {report.faults[0] if report.faults else '-'}",
    )


def _one_digit_on(line: str) -> str:
    place = next(i for i in range(len(line) // 2, len(line)) if line[i].isdigit())
    return line[:place] + str((int(line[place]) + 1) % 10) + line[place + 1 :]


def _downloaded(auditor: Actor, service: str) -> tuple[list[str], str, dict[str, Any]]:
    """Entries up to the signed head, the head, and the public keys."""
    note = auditor.get(f"/staff/ledger/{service}/checkpoint").text
    size = int(note.splitlines()[1])
    lines: list[str] = []
    after = "0"
    while len(lines) < size:
        page = auditor.get(f"/staff/ledger/{service}/entries", after=after, limit=500).json()
        lines += [json.dumps(entry) for entry in page["items"]]
        after = page["next"] or after
    return lines[:size], note, auditor.get(f"/staff/keys/{service}").json()


def _check_signature(heard: Heard, headers: dict[str, str], body: bytes) -> None:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    given = dict(part.split(",", 1) for part in headers["webhook-signature"].split())
    wanted = hmac.digest(base64.b64decode(heard.secret.removeprefix("whsec_")), signed, "sha256")
    if not hmac.compare_digest(base64.b64decode(given["v1"]), wanted):
        raise TourFailed("The tour stops here: a delivery was not signed with the endpoint's secret.")
    heard.key.verify(base64.b64decode(given["v1a"]), signed)
