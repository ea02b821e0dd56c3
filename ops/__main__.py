"""The verbs: `python -m ops run | serve <process> | migrate [service…] | keys | clean`."""

import argparse
import os
import sys
from pathlib import Path

from ops import keys, run
from ops.catalogue import BY_NAME, SERVICES
from ops.home import CannotRun, Home, explain
from ops.steps import complain


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
    """Against the server that WARDLINE_DATABASE_HOST names, else against this house's own, started for it if need be."""
    from ops.migrate import Cluster, main
    from ops.postgres import Postgres

    unknown = [name for name in asked.services if name not in {service.name for service in SERVICES}]
    if unknown:
        raise CannotRun(f"There is no service {unknown[0]!r}; there are {', '.join(s.name for s in SERVICES)}.")
    services = [BY_NAME[name] for name in asked.services] or list(SERVICES)
    if os.environ.get("WARDLINE_DATABASE_HOST"):
        secrets = Path(os.environ.get("WARDLINE_SECRETS", home.path / "secrets"))
        main(Cluster.from_environment(os.environ, secrets), services)
        return
    home.make()
    keys.make(home)
    postgres = Postgres(home)
    was_running = postgres.is_running()
    postgres.start()
    try:
        main(Cluster(str(postgres.socket_dir), home.path / "secrets"), services)
    finally:
        if not was_running:
            postgres.stop()


sys.exit(main())
