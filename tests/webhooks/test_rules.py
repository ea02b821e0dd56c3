"""When deliveries are tried again, and that anybody with the standard's library can check them."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from services.webhooks import rules
from services.webhooks.rules import Verdict

SECRET = "whsec_" + "A" * 43 + "="


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, "delivered"), (204, "delivered"), (301, "again"), (302, "again"), (400, "again"), (410, "gone"), (429, "again"), (500, "again")],
)  # fmt: skip
def test_what_an_answer_means(status, verdict):
    assert rules.judge(status) is Verdict(verdict)


def test_the_schedule_is_the_standards_and_then_ends():
    waits = [rules.pause_before(number, None, jitter=1) for number in range(11)]
    assert waits[:4] == [timedelta(0), timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)]
    assert waits[9] == timedelta(hours=24) and waits[10] is None
    assert rules.pause_before(1, timedelta(minutes=3), jitter=1) == timedelta(minutes=3)
    assert rules.pause_before(1, timedelta(days=400), jitter=1) == timedelta(hours=24)


@pytest.mark.parametrize(
    ("header", "wait"), [("120", timedelta(seconds=120)), ("-1", None), ("soon", None), (None, None), ("9" * 99, None)]
)
def test_retry_after_is_read_in_seconds_only(header, wait):
    assert rules.retry_after(header) == wait


def test_signatures_verify_with_the_standards_own_library_while_a_secret_rotates():
    body, now, older = b'{"type":"consent.given"}', datetime.now(UTC), "whsec_" + "B" * 43 + "="
    header = rules.signatures("msg_1", now, body, [SECRET, older], Ed25519PrivateKey.generate())
    sent = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": header}
    for secret in (SECRET, older):
        assert Webhook(secret).verify(body, sent) == {"type": "consent.given"}
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(SECRET).verify(body + b" ", sent)
