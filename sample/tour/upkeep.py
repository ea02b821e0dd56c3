"""Retention over whole stores: what would go, seen first as a picture; then swept."""

import json
from collections import defaultdict
from typing import Any

import yaml

from ops.home import ROOT
from sample.actors import Cast
from sample.tour.narrator import Narrator


def retention_is_simulated_and_swept(cast: Cast, tell: Narrator) -> None:
    tell.scene("Retention is simulated, looked at, and swept")
    with cast.person("operations") as operations:
        expected = operations.post("/v1/simulations").json()
        by_rule = _added_up(expected["items"], "count")
        tell.say(f"a simulation by policy book {expected['policy_version']} writes nothing; today's sweep would take:")
        tell.table(("store", "table", "rule", "records"), [(*key, f"{count:,}") for key, count in by_rule.items()])
        tell.keep("retention.svg", operations.post("/v1/simulations/picture").content)
        tell.picture("retention.svg", "What a sweep would take, by the month the data are from")
        proposed = {"proposed": _shorter("helpdesk_recordings", "14 days"), "stores": ["recordings"]}
        tell.keep("retention-changed.svg", operations.post("/v1/simulations/picture", proposed).content)
        tell.picture("retention-changed.svg", "What would change if recordings were kept for 14 days")
        sweep = operations.post("/v1/sweeps").json()["sweep"]

        def look() -> dict[str, Any] | None:
            seen = operations.get(f"/v1/sweeps/{sweep}").json()
            return seen if seen["state"] == "done" else None

        swept = tell.until("finished sweep", look, patience=300)
        how = _added_up(swept["items"], "count", keys=("how",))
        tell.say("swept: " + ", ".join(f"{count:,} by {key[0]}" for key, count in how.items()))
        left = operations.post("/v1/simulations").json()["items"]
        tell.must(not left, "simulated again, nothing is left whose time is over")


def _shorter(rule: str, keep: str) -> dict[str, Any]:
    """The operator's book as it might be proposed: one row's period is another."""
    book = json.loads(json.dumps(yaml.safe_load((ROOT / "policy" / "book.yaml").read_text()), default=str))
    for row in book["retention"]:
        if row["key"] == rule:
            row["keep"] = keep
    return book | {"version": f"{book['version']} with {keep}"}


def _added_up(
    items: list[dict[str, Any]], what: str, keys: tuple[str, ...] = ("store", "table", "rule")
) -> dict[tuple, int]:
    sums: dict[tuple, int] = defaultdict(int)
    for item in items:
        sums[tuple(item[key] for key in keys)] += item[what]
    return dict(sorted(sums.items()))
