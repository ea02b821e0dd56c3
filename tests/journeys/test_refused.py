"""A store that says it deleted and did not: nobody is told 'done' while rows remain, and it goes on by itself once it can."""

from sample.cases import PEOPLE
from tests.journeys.conftest import Deletion


def test_an_erasure_that_left_rows_is_found_by_its_verification(deleted: Deletion):
    checks = [s for s in deleted.refused["steps"] if (s["store"], s["verb"]) == ("helpdesk", "verify")]
    assert len(checks) >= 2, "it was not tried again"
    assert {(s["state"], s["problem"]) for s in checks} <= {
        ("failed", "rights.something_remains"),
        ("pending", None),
        ("running", None),
    }


def test_the_person_is_not_answered_while_rows_remain(deleted: Deletion):
    assert deleted.refused["state"] in ("executing", "checking")
    assert deleted.refused["answered_at"] is None
    assert deleted.refused_answer == 409


def test_the_other_stores_do_not_wait_for_the_broken_one(deleted: Deletion):
    done = {s["store"] for s in deleted.refused["steps"] if s["verb"] == "verify" and s["state"] == "done"}
    assert done == {"authlog", "billing", "calls", "lake", "recordings"}


def test_once_the_store_deletes_again_the_request_ends_by_itself_and_nothing_is_left(deleted: Deletion):
    greta = deleted.requests["greta"]
    assert greta.answer["answered_at"]
    assert not [s for s in deleted.seen_of("greta") if s.store == "helpdesk"]
    assert PEOPLE["greta"].name in {s.value for s in deleted.seen_of("greta") if s.store == "billing"}, (
        "her agreement is running"
    )
