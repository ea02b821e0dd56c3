"""An authority's order: placed, approved by two, part of the data preserved, and a sealed package delivered. On the internal edge only."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from joserfc.jwk import KeySet

from chassis import clock
from sample.actors import Actor, Cast
from sample.cases import PEOPLE
from sample.tour.narrator import Narrator
from services.requests.disclosure import verify as package_verifier

_DAYS = 120


@dataclass(frozen=True)
class Placed:
    """The preservation order, and the disclosure order of the same case."""

    preservation: dict[str, Any]
    disclosure: dict[str, Any]


def is_placed_and_approved(cast: Cast, tell: Narrator) -> Placed:
    tell.scene("An authority orders that Anna's traffic data be preserved (internal edge only)")
    with cast.machine("authority-se", "internal") as authority:
        preservation = authority.post("/v1/orders", _order("se_preservation", "LP", "B-2026-17")).json()
        disclosure = authority.post("/v1/orders", _order("se_secret_surveillance", "LD", "B-2026-18")).json()
    tell.must(
        not preservation["errors"] and not disclosure["errors"],
        "a prosecutor's two orders are in order: the instrument, who may issue it, identifier, period, category",
    )
    with cast.person("approver1") as first, cast.person("approver2") as second:
        _approve(first, preservation)
        again = first.try_to(
            "POST", f"/v1/orders/{preservation['order']}/reviews", json=_approval(preservation), headers=_key()
        )
        tell.must(again.status_code == 409, f"the same person cannot approve twice ({again.json()['code']})")
        _approve(second, preservation)
        tell.until("preserved task", lambda: _tasks(second, preservation, "Preserved"))
        tell.say("✓ a second person approved, and a hold of 90 days stands on her calls of the last four months")
        for approver in (first, second):
            _approve(approver, disclosure)
    return Placed(preservation, disclosure)


def is_carried_out(cast: Cast, tell: Narrator, placed: Placed) -> None:
    tell.scene("The order's disclosure is collected, sealed and delivered")
    order = placed.disclosure["order"]
    with cast.person("collector") as collector, cast.person("releaser") as releaser:
        collector.post(f"/v1/orders/{order}/collection")
        package = tell.until("sealed package", lambda: collector.get(f"/v1/orders/{order}/packages").json()["items"])[0]
        rows = sum(task["rows"] or 0 for task in collector.get(f"/v1/orders/{order}").json()["tasks"])
        tell.must(
            rows > 0,
            f"a third person collected exactly what was ordered: {rows} records, though Anna's own data are gone by now",
        )
        denied = collector.try_to("POST", f"/v1/packages/{package['package']}/release", json={}, headers=_key())
        tell.must(denied.status_code == 403, "who collected may not release")
        releaser.post(f"/v1/packages/{package['package']}/release")
    with cast.machine("authority-se", "internal") as authority:
        sealed = authority.get(f"/v1/packages/{package['package']}/content").content
        digest = hashlib.sha256(sealed).hexdigest()
        for status in ("Acknowledged", "Received"):
            authority.post(f"/v1/packages/{package['package']}/acknowledgement", {"status": status, "sha256": digest})
        keys = authority.get("/keys/disclosure").json()
    path = tell.keep("authority-package.jwe", sealed)
    report = package_verifier.verify_package(sealed, KeySet.import_key_set(keys), cast.key("authority-se.enc"))
    tell.must(
        report.holds,
        f"{path.name} opens with the authority's key only, and all {len(report.files)} files verify offline",
    )
    broken = bytearray(sealed)
    broken[len(broken) // 2] ^= 1
    report = package_verifier.verify_package(bytes(broken), KeySet.import_key_set(keys), cast.key("authority-se.enc"))
    tell.must(not report.holds, f"with one bit changed it does not: {report.faults[0] if report.faults else ''}")


def _order(instrument: str, kind: str, reference: str) -> dict[str, Any]:
    now = clock.now()
    return {
        "instrument": instrument,
        "reference": reference,
        "issuer": {"kind": "prosecutor", "name": "Åklagarmyndigheten, Stockholm"},
        "legal_provision": "RB 27 kap.",
        "served_at": now.isoformat(),
        "period": {"from": (now - timedelta(days=_DAYS)).isoformat(), "to": now.isoformat()},
        "identifiers": [{"type": "InternationalE164", "value": PEOPLE["anna"].msisdn}],
        "tasks": [{"kind": kind, "category": "traffic"}],
    }


def _approval(order: dict[str, Any]) -> dict[str, Any]:
    return {"order_hash": order["order_hash"], "verdict": "approve"}


def _approve(approver: Actor, order: dict[str, Any]) -> None:
    approver.post(f"/v1/orders/{order['order']}/reviews", _approval(order))


def _tasks(reader: Actor, order: dict[str, Any], status: str) -> bool:
    return all(task["status"] == status for task in reader.get(f"/v1/orders/{order['order']}").json()["tasks"])


def _key() -> dict[str, str]:
    """A fresh Idempotency-Key, for calls that are meant to be refused."""
    return {"idempotency-key": str(uuid4())}
