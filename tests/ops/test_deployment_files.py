"""Dockerfile, compose and Kubernetes say the same as the catalogue of processes, and hold no secret."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from ops.catalogue import BY_NAME, PROCESSES, SERVICES, Process, calls
from ops.home import ROOT

KUBERNETES = ROOT / "k8s"
NAMES = [process.name for process in PROCESSES]
PROBE_FIELDS = {
    "httpGet",
    "initialDelaySeconds",
    "periodSeconds",
    "timeoutSeconds",
    "failureThreshold",
    "successThreshold",
}
CONTAINER_FIELDS = {
    *("name", "image", "args", "ports", "envFrom", "env", "resources", "securityContext", "volumeMounts"),
    *("startupProbe", "livenessProbe", "readinessProbe"),
}
HARDENED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, name) → object, of every file the kustomization names."""
    resources = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    documents = [document for name in resources for document in yaml.safe_load_all((KUBERNETES / name).read_text())]
    found = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    assert len(found) == len(documents), "two objects have the same name"
    return found


def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    return deployment["spec"]["template"]["spec"]


def container(objects: dict[tuple[str, str], dict[str, Any]], process: Process) -> dict[str, Any]:
    [only] = pod(objects["Deployment", process.name])["containers"]
    return only


def told(container: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


def expected_peers(process: Process) -> dict[str, str]:
    return {name: f"http://{name}:{BY_NAME[name].port}" for name in calls(process)}


# --- Docker


def test_compose_runs_exactly_the_catalogue(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {*NAMES, "keys", "postgres", "migrate"}
    assert "name" not in compose, "older engines refuse it"


@pytest.mark.parametrize("process", PROCESSES, ids=NAMES)
def test_compose_tells_each_process_what_the_catalogue_says(compose: dict[str, Any], process: Process) -> None:
    service = compose["services"][process.name]
    assert service["command"] == ["serve", process.name]
    assert service["environment"]["WARDLINE_LISTEN_PORT"] == str(process.port)
    assert service["environment"].get("WARDLINE_DATABASE_NAME") == process.database
    assert json.loads(service["environment"]["WARDLINE_PEERS"]) == expected_peers(process)
    assert ("data" in service["networks"]) == (process.database is not None)
    assert "/health/ready" in service["healthcheck"]["test"][-1]


@pytest.mark.parametrize("process", PROCESSES, ids=NAMES)
def test_compose_gives_each_process_its_own_secrets_only(compose: dict[str, Any], process: Process) -> None:
    mounted = [volume for volume in compose["services"][process.name]["volumes"] if "secrets" in volume]
    assert mounted == [f"secrets-{process.name}:/run/wardline/secrets:ro"]


def test_compose_publishes_only_the_edges_and_only_on_this_machine(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"public": ["127.0.0.1:8080:8080"], "internal": ["127.0.0.1:8090:8090"]}


def test_the_image_is_built_from_hashed_packages_and_does_not_run_as_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "# syntax=" not in dockerfile, "older engines refuse it"
    installs = [line for line in dockerfile.splitlines() if "pip install" in line]
    assert installs and all("--require-hashes" in line for line in installs)
    assert dockerfile.rindex("USER 10001") > dockerfile.rindex("FROM ")


# --- Kubernetes


def test_every_process_has_its_deployment_service_and_policy(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    for kind in ("Deployment", "Service"):
        assert {name for found, name in objects if found == kind} == set(NAMES)
    policies = {name for kind, name in objects if kind == "NetworkPolicy"}
    assert policies == {*NAMES, "migrate", "nobody-speaks-unless-named", "everybody-may-resolve-names"}


@pytest.mark.parametrize("process", PROCESSES, ids=NAMES)
def test_ports_and_peers_are_the_catalogue_s(objects: dict[tuple[str, str], dict[str, Any]], process: Process) -> None:
    running = container(objects, process)
    assert running["args"] == ["serve", process.name]
    assert running["ports"] == [{"name": "http", "containerPort": process.port}]
    assert told(running)["WARDLINE_LISTEN_PORT"] == str(process.port)
    assert told(running).get("WARDLINE_DATABASE_NAME") == process.database
    assert json.loads(told(running)["WARDLINE_PEERS"]) == expected_peers(process)
    service = objects["Service", process.name]["spec"]
    assert service["ports"] == [{"name": "http", "port": process.port, "targetPort": "http"}]
    assert service["selector"] == objects["Deployment", process.name]["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("process", PROCESSES, ids=NAMES)
def test_probes_are_spelled_right(objects: dict[tuple[str, str], dict[str, Any]], process: Process) -> None:
    """A misspelled probe is dropped silently by the API server's default validation."""
    running = container(objects, process)
    assert set(running) <= CONTAINER_FIELDS
    for probe, path in (("startup", "live"), ("liveness", "live"), ("readiness", "ready")):
        asked = running[f"{probe}Probe"]
        assert asked["httpGet"] == {"path": f"/health/{path}", "port": "http"}
        assert set(asked) <= PROBE_FIELDS


@pytest.mark.parametrize("name", [*NAMES, "migrate"])
def test_nothing_runs_as_root_or_writes_to_its_image(objects: dict[tuple[str, str], dict[str, Any]], name: str) -> None:
    kind = "Job" if name == "migrate" else "Deployment"
    spec = pod(objects[kind, name])
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert [each["securityContext"] for each in spec["containers"]] == [HARDENED]


@pytest.mark.parametrize("process", PROCESSES, ids=NAMES)
def test_a_process_is_reached_by_its_callers_and_reaches_whom_it_calls(
    objects: dict[tuple[str, str], dict[str, Any]], process: Process
) -> None:
    policy = objects["NetworkPolicy", process.name]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    named = peers_of(policy.get("ingress") or [], "from", process.port)
    assert named == {caller.name for caller in PROCESSES if process.name in calls(caller)}
    reached = {name for rule in policy.get("egress") or [] for name in peers_of([rule], "to", rule["ports"][0]["port"])}
    assert reached == {*calls(process), *(["postgresql"] if process.database else [])}
    for rule in policy.get("egress") or []:
        for name in peers_of([rule], "to", rule["ports"][0]["port"]) & BY_NAME.keys():
            assert rule["ports"] == [{"port": BY_NAME[name].port, "protocol": "TCP"}]


def peers_of(rules: list[dict[str, Any]], side: str, port: int) -> set[str]:
    """The names of the pods that rules for `port` speak of."""
    selectors = [
        peer.get("podSelector", {}).get("matchLabels", {})
        for rule in rules
        if [each["port"] for each in rule["ports"]] == [port]
        for peer in rule.get(side, [])
    ]
    return {labels["app.kubernetes.io/name"] for labels in selectors if "app.kubernetes.io/name" in labels}


def test_nobody_but_named_clients_reaches_the_internal_edge(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    client = {"matchLabels": {"wardline/internal-edge": "client"}}
    [rule] = objects["NetworkPolicy", "internal"]["spec"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": client}, {"podSelector": client}]


def test_whoever_is_not_named_is_refused(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    everyone = objects["NetworkPolicy", "nobody-speaks-unless-named"]["spec"]
    assert everyone == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("process", PROCESSES, ids=NAMES)
def test_each_pod_mounts_its_own_secret_only(objects: dict[tuple[str, str], dict[str, Any]], process: Process) -> None:
    volumes = {volume["name"]: volume for volume in pod(objects["Deployment", process.name])["volumes"]}
    names = {source["secret"]["name"] for source in volumes["secrets"]["projected"]["sources"] if "secret" in source}
    assert names == {f"wardline-{process.name}", *([f"wardline-{process.name}-epochs"] if process.database else [])}


def test_the_migration_gets_the_passwords_of_every_service(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    [secrets] = [v for v in pod(objects["Job", "migrate"])["volumes"] if v["name"] == "secrets"]
    paths = {item["path"] for source in secrets["projected"]["sources"] for item in source["secret"]["items"]}
    wanted = {f"{s.name}/{role}.password" for s in SERVICES for role in ("db", "db_system")}
    assert paths == wanted | {"postgres/superuser.password"} | {f"migrate/{s.name}.password" for s in SERVICES}


def test_no_secret_stands_in_plain(compose: dict[str, Any], objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    assert "Secret" not in {kind for kind, _ in objects}
    told_anywhere = [
        *(item for service in compose["services"].values() for item in service.get("environment", {}).items()),
        *objects["ConfigMap", "wardline"]["data"].items(),
        *(item for process in PROCESSES for item in told(container(objects, process)).items()),
    ]
    for name, value in told_anywhere:
        if re.search("PASSWORD|SECRET|TOKEN|_KEY", name):
            assert value.startswith("/run/wardline"), f"{name} is not the path of a mounted file"
        assert not re.search(r"://[^/]*@", value), f"{name} holds a credential"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_base_is_rendered_by_kustomize() -> None:
    rendered = subprocess.run(["kubectl", "kustomize", str(KUBERNETES)], capture_output=True, text=True, timeout=60)
    assert rendered.returncode == 0, rendered.stderr
    deployments = [d for d in yaml.safe_load_all(rendered.stdout) if d["kind"] == "Deployment"]
    assert {d["spec"]["template"]["spec"]["containers"][0]["image"] for d in deployments} == {"wardline:0.1.0"}


def test_identity_lets_each_process_ask_for_tokens_of_those_it_calls() -> None:
    """What the network allows and what identity grants are one and the same table."""
    table = yaml.safe_load((ROOT / "services/identity/clients.yaml").read_text())["clients"]
    for process in PROCESSES:
        granted = {*table[process.name]["audiences"], *table[process.name].get("exchanges", [])}
        assert granted <= set(calls(process)), f"{process.name} may ask for tokens of processes it may not reach"
