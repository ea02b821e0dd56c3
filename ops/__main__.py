"""The verbs: `python -m ops run | serve <process> | migrate [service…] | keys | epoch | clean`."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ops import keys, run
from ops.catalogue import BY_NAME, SERVICES
from ops.home import ROOT, CannotRun, Home, explain
from ops.steps import complain

if TYPE_CHECKING:
    from ops.migrate import Cluster


def main() -> int:
    asked = _arguments().parse_args()
    home = Home.at(asked.home)
    try:
        asked.act(home, asked)
    except CannotRun as reason:
        complain(str(reason))
        return 1
    except OSError as failure:
        complain(explain(failure))
        return 1
    except KeyboardInterrupt:
        complain("Interrupted; everything that was started has been stopped.")
        return 130
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops", description="How the house is started.")
    parser.add_argument("--home", help="directory of everything generated (default: WARDLINE_HOME or .data)")
    verbs = parser.add_subparsers(required=True, metavar="verb")

    verb = verbs.add_parser("run", help="everything on this machine, with the sample operator and the tour")
    verb.add_argument("--once", action="store_true", help="end after the tour")
    verb.add_argument("--subscribers", type=_positive, default=2000, metavar="N", help="size of the sample operator")
    verb.add_argument("--free-ports", action="store_true", help="any free ports instead of the usual ones")
    verb.add_argument("--no-tour", action="store_true", help="start without showing anything")
    verb.add_argument("--no-sample", action="store_true", help="start without the sample operator (and the tour)")
    verb.add_argument("--stack-only", action="store_true", help="for tests: no tour, orders as JSON on standard input")
    verb.add_argument("--only", nargs="+", choices=BY_NAME, default=tuple(BY_NAME), metavar="PROCESS")
    verb.set_defaults(act=_run)

    verb = verbs.add_parser("serve", help="one process in the foreground; its settings come from the environment")
    verb.add_argument("process", choices=BY_NAME)
    verb.set_defaults(act=_serve)

    verb = verbs.add_parser("migrate", help="roles, databases and schemas of all services or of those named")
    verb.add_argument("services", nargs="*", metavar="service", help=", ".join(s.name for s in SERVICES))
    verb.set_defaults(act=_migrate)

    verb = verbs.add_parser("keys", help="every secret that is not there yet")
    verb.set_defaults(act=lambda home, asked: (home.make(), keys.make(home)))

    verb = verbs.add_parser("epoch", help="a new epoch of people's keys; destroys those that no backup needs any more")
    verb.add_argument("--book", type=Path, default=ROOT / "policy" / "book.yaml", help="the policy book in force")
    verb.set_defaults(act=_epoch)

    verb = verbs.add_parser("clean", help="removes data, secrets and results of earlier runs")
    verb.set_defaults(act=lambda home, asked: run.clean(home))
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _run(home: Home, asked: argparse.Namespace) -> None:
    sample = not asked.no_sample
    run.run(
        home,
        run.Wishes(
            only=tuple(asked.only),
            subscribers=asked.subscribers,
            free_ports=asked.free_ports,
            once=asked.once,
            sample=sample,
            tour=sample and not asked.no_tour and not asked.stack_only,
            controlled=asked.stack_only,
        ),
    )


def _serve(home: Home, asked: argparse.Namespace) -> None:
    from ops.serving import serve

    process = BY_NAME[asked.process]
    host = os.environ.get("WARDLINE_LISTEN_HOST", "127.0.0.1")
    serve(process, host, int(os.environ.get("WARDLINE_LISTEN_PORT", process.port)))


def _migrate(home: Home, asked: argparse.Namespace) -> None:
    from ops.migrate import main

    unknown = [name for name in asked.services if name not in {service.name for service in SERVICES}]
    if unknown:
        raise CannotRun(f"There is no service {unknown[0]!r}; there are {', '.join(s.name for s in SERVICES)}.")
    services = [BY_NAME[name] for name in asked.services] or list(SERVICES)
    with _cluster(home) as cluster:
        main(cluster, services)


def _epoch(home: Home, asked: argparse.Namespace) -> None:
    from ops.epochs import main
    from services.registry.books import BookRefused, read_book

    try:
        kept = read_book(asked.book).period("key_epoch")
    except BookRefused as refused:
        raise CannotRun(f"{asked.book} is no policy book: {refused}") from None
    with _cluster(home) as cluster:
        main(cluster, kept)


@contextmanager
def _cluster(home: Home) -> Iterator["Cluster"]:
    """The server that WARDLINE_DATABASE_HOST names, else this house's own, started for as long as need be."""
    from ops.migrate import Cluster
    from ops.postgres import Postgres

    if os.environ.get("WARDLINE_DATABASE_HOST"):
        yield Cluster.from_environment(os.environ, Path(os.environ.get("WARDLINE_SECRETS", home.path / "secrets")))
        return
    home.make()
    keys.make(home)
    postgres = Postgres(home)
    was_running = postgres.is_running()
    postgres.start()
    try:
        yield Cluster(str(postgres.socket_dir), home.path / "secrets")
    finally:
        if not was_running:
            postgres.stop()


sys.exit(main())
