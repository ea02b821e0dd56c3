"""The reviewed table refuses to say more than it may."""

import json
from pathlib import Path

import pytest
import yaml

from ops.catalogue import PROCESSES, calls
from services.identity import clients
from services.identity.settings import Settings

TABLE = Settings.model_fields["clients_table"].default


@pytest.mark.parametrize(
    ("bend", "why"),
    [
        (lambda t: t["clients"]["helpdesk"]["audiences"]["public"].append("order.approve"), "does not know"),
        (lambda t: t["clients"]["helpdesk"]["audiences"].update({"nowhere": ["ticket.post"]}), "does not know"),
        (lambda t: t["clients"]["public"]["exchanges"].append("nowhere"), "no audiences"),
        (lambda t: t["clients"]["staff"]["grants"].append("client"), "proves nothing"),
        (lambda t: t["clients"]["staff"].update(secret="hunter2"), "secret"),
        (lambda t: t["roles"].update(king=["order.approve"]), "king"),
    ],
)
def test_a_table_that_gives_too_much_is_refused(tmp_path: Path, bend, why: str):
    table = yaml.safe_load(TABLE.read_text())
    bend(table)
    bent = tmp_path / "clients.yaml"
    bent.write_text(yaml.safe_dump(table))
    with pytest.raises(ValueError, match=why):
        clients.load(bent, tmp_path)


def test_an_installation_cannot_register_a_client_the_table_does_not_name(tmp_path: Path):
    (tmp_path / "clients.json").write_text(json.dumps({"mallory": {"redirect_uris": ["https://evil.example/"]}}))
    with pytest.raises(ValueError, match="mallory"):
        clients.load(TABLE, tmp_path)


def test_every_process_is_in_the_table_and_calls_only_whom_the_catalogue_says():
    table = clients.load(TABLE, Path("/nonexistent"))
    for process in PROCESSES:
        audiences = set(table.clients[process.name].audiences) | table.clients[process.name].exchanges
        assert audiences <= {*calls(process), process.name}, process.name


def test_no_single_role_may_both_approve_and_collect_or_release():
    table = clients.load(TABLE, Path("/nonexistent"))
    separate = {"order.approve", "order.collect", "order.release"}
    assert all(len(scopes & separate) <= 1 for scopes in table.roles.values())
