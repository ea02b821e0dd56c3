"""What the registry signs, as whoever follows it reads it."""

from joserfc.jwk import KeySet, OKPKey

from services.registry.commands.book import signature
from services.registry.contract.signed import POLICY, opened, stored_payload


def test_a_book_ten_times_as_long_is_read_as_well() -> None:
    key = OKPKey.generate_key("Ed25519", {"kid": "k"})
    body = b"x" * 1_000_000
    signed = signature(body, key, POLICY)
    assert opened(signed, KeySet([key]), POLICY) == body == stored_payload(signed)
