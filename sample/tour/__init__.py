"""The guided tour: one person's data, one order, and everybody who may check that all of it was right.

Everything is said over HTTP to the two edges, as the named people and systems; what was seen stands in `out/tour.md`.
A house takes the tour once, since Anna's data are gone afterwards; `./dev clean` makes a fresh one.
"""

import json
from pathlib import Path

from sample.actors import Cast, Refused
from sample.tour import anna, order, upkeep, witnesses
from sample.tour.narrator import Narrator, TourFailed

__all__ = ["TourFailed", "tour"]


def tour(home: Path, public: str, internal: str, out: Path) -> None:
    """Raises TourFailed when something is not as it should be."""
    done = home / "sample" / "tour.json"
    if done.exists():
        print(
            f"   this house took the tour before: {json.loads(done.read_text())['seen']}; `./dev clean` starts afresh"
        )
        return
    cast, tell = Cast(home, public, internal), Narrator(out)
    try:
        with witnesses.listening(cast, tell) as heard:
            anna.consents(cast, tell)
            anna.asks_for_her_data(cast, tell)
            placed = order.is_placed_and_approved(cast, tell)
            anna.asks_for_deletion(cast, tell)
            order.is_carried_out(cast, tell, placed)
            upkeep.retention_is_simulated_and_swept(cast, tell)
            witnesses.helpdesk_heard_everything(tell, heard)
        witnesses.regulator_verifies_the_bundle(cast, tell)
        witnesses.anybody_verifies_the_ledger(cast, tell)
    except Refused as refusal:
        raise TourFailed(f"The tour stops here: {refusal}") from refusal
    done.write_text(json.dumps({"seen": str(out / "tour.md")}))
