"""The one list of processes. Supervisor, migrations, keys, compose and k8s all read it or are checked against it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """`app` is "module:function" of the app factory; `database` is None for the edges, which keep nothing."""

    name: str
    package: str
    app: str
    port: int
    database: str | None = None
    peers: tuple[str, ...] = ()  # whom it calls beside those that all call

    @property
    def schema(self) -> str | None:
        return self.name if self.database else None


def _service(name: str, package: str, port: int, database: str = "wardline", peers: tuple[str, ...] = ()) -> Process:
    return Process(name, package, f"{package}.app:create_app", port, database, peers)


def _edge(name: str, port: int, peers: tuple[str, ...]) -> Process:
    return Process(name, f"gateway.{name}", f"gateway.{name}:create_app", port, None, peers)


# In start order: whoever is needed by all comes first.
PROCESSES = (
    _service("identity", "services.identity", 8101),
    _service("registry", "services.registry", 8102, peers=("anonymizer", "webhooks")),
    _service("consent", "services.consent", 8103, peers=("anonymizer",)),
    _service("rights", "services.requests.rights", 8104, peers=("anonymizer", "consent")),
    _service("disclosure", "services.requests.disclosure", 8105, "wardline_disclosure", peers=("anonymizer",)),
    _service("anonymizer", "services.anonymizer", 8106, peers=("disclosure",)),
    _service("webhooks", "services.webhooks", 8107, peers=("consent", "rights", "anonymizer")),
    _edge("public", 8080, peers=("consent", "rights", "anonymizer", "webhooks")),
    _edge("internal", 8090, peers=("disclosure", "rights", "anonymizer", "consent", "webhooks")),
)
BY_NAME = {process.name: process for process in PROCESSES}
SERVICES = tuple(process for process in PROCESSES if process.database)
EDGES = tuple(process for process in PROCESSES if not process.database)
CALLED_BY_ALL = ("identity", "registry")


def calls(process: Process) -> tuple[str, ...]:
    """The processes this one may speak to; the table "Who calls whom" of docs/house.md."""
    return tuple(name for name in dict.fromkeys((*CALLED_BY_ALL, *process.peers)) if name != process.name)
