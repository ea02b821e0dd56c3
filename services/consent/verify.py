"""`python -m services.consent.verify receipt.json --keys keys.json`: checks a consent's receipt offline, with nothing but public keys.

The file is what `GET /v1/receipts/{record}` answered, or the bare signed text that came with the consent itself.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import ValidationError

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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m services.consent.verify", description="Checks a consent's receipt."
    )
    parser.add_argument("receipt", type=Path)
    parser.add_argument(
        "--keys", type=Path, required=True, help="the consent service's public keys (GET /keys/consent)"
    )
    asked = parser.parse_args(arguments)
    try:
        raw, jwks = asked.receipt.read_bytes().strip(), json.loads(asked.keys.read_bytes())
        KeySet.import_key_set(jwks)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, JoseError) as unreadable:
        print(f"cannot check: {unreadable}", file=sys.stderr)
        return 2
    try:
        whole = raw.startswith(b"{")
        record = proven(raw, jwks) if whole else receipts.opened(raw.decode("ascii", "replace"), jwks)["record"]
    except BadReceipt as fault:
        print(f"DOES NOT HOLD  {fault}")
        return 1
    print(f"holds: record {record['record_id']}, {record['purpose']} {record['state']}, said {record['event_time']}")
    if not whole:
        print("  by its signature alone: the proof that it stands in the ledger comes with GET /v1/receipts/{record}")
    if receipts.of_earlier_release(record):
        print("  the record alone: what an earlier release's receipt says beside it is not in the ledger")
    return 0


if __name__ == "__main__":
    sys.exit(main())
