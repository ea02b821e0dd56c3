"""`python -m sample fill`: the stores of the synthetic operator, in the embedded PostgreSQL of a house."""

import argparse
import asyncio
from datetime import date

from ops.home import Home
from ops.postgres import Postgres
from sample.cases import SEED, SUBSCRIBERS
from sample.filling import fill


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sample", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("fill", help="fill every store once; PostgreSQL must be running")
    verb.add_argument("--subscribers", type=int, default=SUBSCRIBERS)
    verb.add_argument("--seed", type=int, default=SEED)
    verb.add_argument("--today", type=date.fromisoformat, help="the reference day (default: today, UTC)")
    told = parser.parse_args()
    home = Home.at()
    asyncio.run(fill(home, Postgres(home), told.subscribers, told.seed, told.today, print))


if __name__ == "__main__":
    main()
