"""Secrets: made once, whole, readable by their process alone."""

import json
import stat

import pytest

from ops import keys
from ops.catalogue import PROCESSES, SERVICES
from ops.home import CannotRun, Home


def files(home: Home) -> dict[str, bytes]:
    root = home.path / "secrets"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_service_gets_what_its_settings_name(home: Home) -> None:
    keys.make(home)
    for service in SERVICES:
        signing = "token.jwk" if service.name == "identity" else "signing.jwk"
        wanted = {"db.password", "db_system.password", "client.jwk", "ledger.jwk", "index.key", "epochs/1.key", signing}
        wanted |= {"portability.jwk"} if service.name == "rights" else set()
        assert {f"{service.name}/{name}" for name in wanted} <= files(home).keys()


def test_a_second_call_changes_nothing(home: Home) -> None:
    keys.make(home)
    before = files(home)
    keys.make(home)
    assert files(home) == before


@pytest.mark.parametrize(
    "lost",
    ["rights/epochs/1.key", "anonymizer/index.key", "consent/ledger.jwk", "registry/signing.jwk", "identity/token.jwk"],
)
def test_a_lost_key_is_said_and_never_replaced(home: Home, lost: str) -> None:
    keys.make(home)
    path = home.path / "secrets" / lost
    kept = path.read_bytes()
    path.unlink()
    # Another service's copy is the same key.
    if lost.endswith("index.key"):
        for service in SERVICES:
            (home.secrets(service.name) / "index.key").unlink(missing_ok=True)
    with pytest.raises(CannotRun, match=path.name):
        keys.make(home)
    assert not path.exists()
    if not lost.endswith("index.key"):
        path.write_bytes(kept)
        keys.make(home)


def test_a_lost_key_of_a_client_is_replaced_where_it_is_known_too(home: Home) -> None:
    keys.make(home)
    path, known = home.secrets("rights") / "client.jwk", home.secrets("identity") / "clients" / "rights.jwk"
    path.unlink()
    keys.make(home)
    assert json.loads(path.read_bytes())["x"] == json.loads(known.read_bytes())["x"]


def test_what_is_known_of_a_client_is_of_the_key_that_it_has_also_when_an_old_one_was_put_back(home: Home) -> None:
    keys.make(home)
    path, known = home.secrets("rights") / "client.jwk", home.secrets("identity") / "clients" / "rights.jwk"
    kept = path.read_bytes()
    path.unlink()
    keys.make(home)
    path.write_bytes(kept)
    keys.make(home)
    assert json.loads(known.read_bytes())["x"] == json.loads(kept)["x"]


def test_an_epoch_that_was_destroyed_does_not_come_back(home: Home) -> None:
    keys.make(home)
    epochs = home.secrets("rights") / "epochs"
    (epochs / "1.key").rename(epochs / "2.key")
    keys.make(home)
    assert [each.name for each in epochs.iterdir()] == ["2.key"]


def test_a_first_start_that_was_cut_off_goes_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write, left = keys.write_once, iter(range(1000))
    for cut in range(3, 60, 9):

        def until_cut(*what, cut=cut) -> None:
            if next(left) % 60 == cut:
                raise KeyboardInterrupt
            write(*what)

        monkeypatch.setattr(keys, "write_once", until_cut)
        with pytest.raises(KeyboardInterrupt):
            keys.make(home)
    monkeypatch.setattr(keys, "write_once", write)
    keys.make(home)


def test_nobody_but_the_owner_may_read(home: Home) -> None:
    keys.make(home)
    for path in (home.path / "secrets").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_identity_gets_every_client_s_public_key_and_no_private_one(home: Home) -> None:
    keys.make(home)
    for process in PROCESSES:
        public = json.loads(files(home)[f"identity/clients/{process.name}.jwk"])
        private = json.loads(files(home)[f"{process.name}/client.jwk"])
        assert "d" in private and "d" not in public
        assert public == {name: value for name, value in private.items() if name != "d"}


def test_public_services_share_one_index_key_and_disclosure_has_its_own(home: Home) -> None:
    keys.make(home)
    by_service = {service.name: files(home)[f"{service.name}/index.key"] for service in SERVICES}
    disclosure = by_service.pop("disclosure")
    assert len(set(by_service.values())) == 1
    assert disclosure not in by_service.values()


def test_a_service_added_later_gets_the_shared_index_key_too(home: Home) -> None:
    keys.make(home)
    shared = files(home)["consent/index.key"]
    for service in ("identity", "webhooks"):
        (home.secrets(service) / "index.key").unlink()
    keys.make(home)
    assert files(home)["identity/index.key"] == files(home)["webhooks/index.key"] == shared


def test_a_process_never_sees_the_migrator_s_password(home: Home) -> None:
    keys.make(home)
    assert {name for name in files(home) if "migrat" in name} == {
        f"migrate/{service.name}.password" for service in SERVICES
    }


def test_each_key_says_whose_it_is_and_what_for(home: Home) -> None:
    keys.make(home)
    private = {name: json.loads(content) for name, content in files(home).items() if name.endswith(".jwk")}
    kids = [key["kid"] for name, key in private.items() if "/clients/" not in name]
    assert len(kids) == len(set(kids))
    assert private["rights/ledger.jwk"]["kid"].startswith("rights-ledger-")
    assert private["rights/ledger.jwk"]["alg"] == "Ed25519"
    assert private["identity/token.jwk"]["alg"] == "ES256"
