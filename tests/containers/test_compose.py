"""`docker compose up` for real: the image is built, every container becomes healthy, and both edges answer.

The networks between the containers are not tried here: the engine that tests may use has none, so all share the machine's
loopback, on free ports. An engine is named by DOCKER_HOST; without one the tests are skipped.
"""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import yaml

from ops.catalogue import BY_NAME, PROCESSES
from ops.home import ROOT

BASE = "wardline-test/base"
PATIENCE = 900  # seconds until every container is healthy
PORT = re.compile(rf"\b(?:{'|'.join(str(port) for port in (*(process.port for process in PROCESSES), 5432))})\b")


def docker(*words: str, **more: Any) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=900, **more)
    assert done.returncode == 0, f"docker {words[0]}: {done.stderr[-2000:]}"
    return done.stdout


def _engine_answers() -> bool:
    return bool(shutil.which("docker")) and subprocess.run(["docker", "info"], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not _engine_answers(), reason="no container engine answers")


class House:
    """The compose file's containers, running under a project name of their own."""

    def __init__(self, file: Path, ports: dict[str, int]) -> None:
        self.file, self.ports, self.project = file, ports, f"wardline-test-{uuid4().hex[:8]}"

    def compose(self, *words: str) -> None:
        command = ["docker", "compose"] if _has_plugin() else ["docker-compose"]
        done = subprocess.run(
            [*command, "-p", self.project, "-f", self.file, *words], capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"compose {words[0]}: {done.stderr[-2000:]}"

    def states(self) -> dict[str, str]:
        """Compose service → its container's health, or how it ended."""
        ids = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}").split()
        found = {}
        for container in json.loads(docker("inspect", *ids)):
            state = container["State"]
            ended = f"exited {state['ExitCode']}" if state["Status"] == "exited" else state["Status"]
            found[container["Config"]["Labels"]["com.docker.compose.service"]] = state.get("Health", {}).get(
                "Status", ended
            )
        return found

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while set((states := self.states()).values()) != {"healthy", "exited 0"}:
            assert time.monotonic() < deadline, f"not healthy after {PATIENCE} s: {states}"
            time.sleep(1)
        assert set(states) == {"keys", "migrate", "postgres", *BY_NAME}

    def url(self, process: str) -> str:
        return f"http://127.0.0.1:{self.ports[str(BY_NAME[process].port)]}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    _build(tmp_path_factory.mktemp("source"))
    text, ports = _on_free_ports((ROOT / "docker-compose.yml").read_text())
    file = tmp_path_factory.mktemp("compose") / "docker-compose.json"
    file.write_text(json.dumps(_on_loopback(yaml.safe_load(text), ports)))
    house = House(file, ports)
    try:
        house.compose("up", "-d")
        house.wait_until_healthy()
        yield house
    finally:
        house.compose("down", "-v")


def test_every_container_becomes_healthy_and_the_public_page_is_served(house: House):
    assert house.states()["keys"] == house.states()["migrate"] == "exited 0"
    page = httpx2.get(f"{house.url('public')}/privacy", trust_env=False)
    assert page.status_code == 200 and page.text.startswith("<!doctype html>")


def test_the_internal_edge_answers_nobody_without_a_token(house: House):
    answer = httpx2.get(f"{house.url('internal')}/v1/orders/{uuid4()}", trust_env=False)
    assert answer.status_code == 401


def test_a_process_that_was_killed_comes_back_ready(house: House):
    docker("kill", f"{house.project}{_between()}consent{_between()}1")
    house.compose("up", "-d")
    house.wait_until_healthy()


def test_no_container_is_told_a_secret(house: House):
    for process in PROCESSES:
        [container] = json.loads(docker("inspect", f"{house.project}{_between()}{process.name}{_between()}1"))
        told = dict(pair.split("=", 1) for pair in container["Config"]["Env"])
        assert not [name for name in told if "PASSWORD" in name or "KEY" in name]
        assert container["HostConfig"]["ReadonlyRootfs"] and container["Config"]["User"] == "10001:10001"


def _build(folder: Path) -> None:
    """The image of what is committed, on the base that this machine has."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    base = ["--build-arg", f"BASE={BASE}"] if docker("images", "-q", BASE).strip() else []
    docker("build", "--network", "host", *base, "-t", "wardline", str(folder))


def _on_free_ports(text: str) -> tuple[str, dict[str, int]]:
    names = sorted(set(PORT.findall(text)))
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = {name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
    for probe in probes:
        probe.close()
    return PORT.sub(lambda found: str(ports[found[0]]), text), ports


def _on_loopback(compose: dict[str, Any], ports: dict[str, int]) -> dict[str, Any]:
    """The same containers, all on the machine's own loopback."""
    services = compose["services"]
    for service in services.values():
        for gone in ("networks", "ports", "build"):
            service.pop(gone, None)
        service |= {"network_mode": "host", "extra_hosts": [f"{name}:127.0.0.1" for name in services]}
        if "WARDLINE_LISTEN_HOST" in service.setdefault("environment", {}):
            service["environment"]["WARDLINE_LISTEN_HOST"] = "127.0.0.1"
    services["migrate"]["environment"]["WARDLINE_DATABASE_PORT"] = str(ports["5432"])
    services["postgres"]["environment"]["PGPORT"] = str(ports["5432"])
    services["postgres"]["command"] = ["-c", "listen_addresses=127.0.0.1"]
    return {"version": "3.9", "services": services, "volumes": compose["volumes"]}


def _has_plugin() -> bool:
    return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0


def _between() -> str:
    """Between a container name's parts: the newer compose writes a dash where the older wrote an underscore."""
    return "-" if _has_plugin() else "_"
