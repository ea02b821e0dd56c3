"""`python -m services.consent.verify receipt.json --keys keys.json`: checks a consent's receipt offline, with nothing but public keys.

The file is what `GET /v1/receipts/{record}` answered, or the bare signed text that came with the consent itself.
Exit status: 0 it holds, 1 it proves nothing, 2 it could not be checked.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chassis.verifying import exit_status, public_keys, say
from services.consent import receipts
from services.consent.contract import Receipt
from services.consent.receipts import BadReceipt


def proven(raw: bytes, jwks: dict[str, Any]) -> dict[str, Any]:
    """The record that a receipt with its proof proves. Raises BadReceipt."""
    try:
        receipt = Receipt.model_validate_json(raw)
    except ValidationError:
        raise BadReceipt("it is no receipt with its proof") from None
    return receipts.verify(receipt, jwks)


def _check(path: Path, jwks: dict[str, Any]) -> bool:
    raw = path.read_bytes().strip()
    whole = raw.startswith(b"{")
    try:
        record = proven(raw, jwks) if whole else receipts.opened(raw.decode("ascii", "replace"), jwks)["record"]
    except BadReceipt as fault:
        say(f"DOES NOT HOLD  {fault}")
        return False
    say(f"holds: record {record['record_id']}, {record['purpose']} {record['state']}, said {record['event_time']}")
    say(f"  of the person whom this operator knows as {record['principal_id']}, and of nobody else")
    if not whole:
        say("  by its signature alone: the proof that it stands in the ledger comes with GET /v1/receipts/{record}")
    if receipts.of_earlier_release(record):
        say("  the record alone: what an earlier release's receipt says beside it is not in the ledger")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m services.consent.verify", description="Checks a consent's receipt."
    )
    parser.add_argument("receipt", type=Path)
    parser.add_argument(
        "--keys", type=Path, required=True, help="the consent service's public keys (GET /keys/consent)"
    )
    asked = parser.parse_args(arguments)
    return exit_status(lambda: _check(asked.receipt, public_keys(asked.keys)))


if __name__ == "__main__":
    sys.exit(main())
