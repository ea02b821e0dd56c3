"""`python -m services.anonymizer.transforms SOURCE TARGET --spec FILE --key FILE --index I --of N`: one worker of several.

Each takes its share of a lake's files; a Kubernetes Job with an index for each pod does a whole lake (k8s/jobs/transform.yaml). A file that
stands in the target is done: a worker that was killed is started again and goes on behind it. `--spec` is JSON:
{"result", "columns": {column: how}, "zone", "tenant", "purpose", "window"}. A delinked lake takes no key: each worker makes its own,
so what two workers did can't be joined.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from services.anonymizer.transforms.files import files, transform_file
from services.anonymizer.transforms.kernel import How, Spec, Transform
from services.anonymizer.transforms.keys import Keys, derived, fresh


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.anonymizer.transforms")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--key", type=Path, help="32 raw bytes; for pseudonyms only")
    parser.add_argument("--index", type=int, default=int(os.environ.get("JOB_COMPLETION_INDEX", "0")))
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    told = parser.parse_args()
    asked = json.loads(told.spec.read_text())
    columns = {name: How(how) for name, how in asked["columns"].items()}
    spec = Spec(asked["result"], columns, ZoneInfo(asked["zone"]))
    transform = Transform(spec, _keys(asked, told.key))
    for source in files(told.source, told.index, told.of):
        target = told.target / source.relative_to(told.source)
        if not target.exists():
            rows, fallbacks = transform_file(source, target, transform, told.threads)
            said = {"file": str(source.relative_to(told.source)), "result": spec.result, "rows": rows}
            print(json.dumps(said | {"no_number": dict(fallbacks)}), flush=True)
    return 0


def _keys(asked: dict[str, str], key: Path | None) -> Keys:
    if asked["result"] == "delinked":
        return fresh()
    if key is None:
        raise SystemExit("pseudonyms need a key: --key FILE")
    return derived(key.read_bytes(), UUID(asked["tenant"]), asked["purpose"], asked.get("window", ""))


if __name__ == "__main__":
    sys.exit(main())
