"""Recordings in a versioned S3 bucket: what goes, goes with every version; what is locked is refused, and said."""

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx2
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from sample.cases import PRIVATE
from services.anonymizer.connectors.files import Files
from services.anonymizer.contract import Correction, ObjectLocked, Scope, StoreUnavailable
from tests.anonymizer.directly import TERMS, Guard, ago, collected, connector, person
from tests.anonymizer.test_fence import freezing

MAP = """
store: voices
label: {sv: Inspelningar, en: Recordings}
kind: objects
controller: operator
location: {url: URL, user: access, reader: auditor, bucket: BUCKET, prefix: calls/, folder: kept/voices}
tables:
  recording:
    label: {sv: Inspelning, en: Recording}
    element: helpdesk_recording
    store_class: business
    at: started_at
    anchors: {started_at: started_at}
    key: [recording]
    columns:
      recording: helpdesk_recording
      tenant: technical
      caller: {element: participants, identifies: {type: msisdn}}
      customer_number: {element: customer_number, identifies: {type: customer}}
      started_at: time_and_length
"""
NADIA = person(("msisdn", "46701740613"), ("customer", "K13"))


@dataclass
class Bucket:
    s3: Any
    name: str
    files: Files
    guard: Guard

    def record(self, key: str, caller: str, **more: Any) -> None:
        said = {"recording": key, "tenant": str(PRIVATE.id), "caller": caller, "customer_number": "K0"}
        self.put(f"calls/{key}.json", json.dumps(said | {"started_at": ago(days=3)}).encode(), **more)

    def put(self, key: str, body: bytes, **more: Any) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=body, **more)

    def versions(self, prefix: str) -> list[str]:
        page = self.s3.list_object_versions(Bucket=self.name, Prefix=prefix)
        return [one["Key"] for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]]

    async def erase(self, step=None, scope: Scope | None = None):
        return await self.files.erase(step or uuid4(), NADIA, TERMS, self.guard, scope)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def bucket(moto: str, tmp_path: Path) -> AsyncIterator[Bucket]:
    name = f"voices-{uuid4().hex[:8]}"
    s3 = boto3.client(
        "s3", endpoint_url=moto, aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-north-1"
    )
    where = {"LocationConstraint": "eu-north-1"}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    files = connector(tmp_path, MAP.replace("URL", moto).replace("BUCKET", name))
    bucket = Bucket(s3, name, files, Guard())
    for recording in ("4710", "4711"):
        for take in (b"one", b"two"):
            bucket.put(f"calls/{recording}.wav", take)
        bucket.record(recording, "46701740613")
    bucket.record("4711", "46701740613")
    bucket.record("4712", "46700000000")
    yield bucket
    await files.close()
    s3.close()


async def test_what_goes_goes_with_all_its_versions_and_others_stay(bucket: Bucket):
    assert len(await collected(bucket.files, NADIA)) == 3
    preview = await bucket.files.preview(NADIA, TERMS, None)
    effect = await bucket.erase()
    assert effect.outcomes == preview and [one.count for one in effect.outcomes] == [3]
    assert bucket.versions("calls/4710") == bucket.versions("calls/4711") == []
    assert bucket.versions("calls/4712") == ["calls/4712.json"]
    assert (await bucket.files.verify(NADIA, TERMS, None)).remaining == 0


async def test_which_versions_went_is_written_down_and_known_by_a_digest_that_names_nobody(bucket: Bucket):
    step = uuid4()
    versions = {
        mark
        for path in ("4710", "4711")
        for mark, _ in bucket.files.format.read(bucket.files.root / f"calls/{path}.json", bucket.files.table)
    }
    effect = await bucket.erase(step)
    record = bucket.files.root / ".wardline" / "journal" / f"{step}.json"
    assert effect.evidence == hashlib.sha256(record.read_bytes()).hexdigest()
    kept = json.loads(record.read_bytes())
    assert {mark for marks in kept["gone"].values() for mark in marks} == versions and len(versions) == 3
    assert len(kept["salt"]) == 32 and await bucket.erase(step) == effect, "asked again, the evidence is the same"


async def test_one_named_recording_goes_and_its_siblings_stay(bucket: Bucket):
    await bucket.erase(scope=Scope(recording="4711"))
    assert bucket.versions("calls/4711") == [] and bucket.versions("calls/4710")


async def test_what_only_a_delete_marker_hides_is_still_there_and_goes(bucket: Bucket):
    bucket.s3.delete_object(Bucket=bucket.name, Key="calls/4711.json")
    assert (await bucket.files.verify(NADIA, TERMS, None)).remaining > 0
    await bucket.erase()
    assert bucket.versions("calls/4711") == []


async def test_a_locked_object_is_refused_with_its_day_and_nothing_of_it_goes(bucket: Bucket):
    until = datetime.now(UTC) + timedelta(days=40)
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
    bucket.put("calls/4711.wav", b"three", **lock)
    before = bucket.versions("calls/4711")
    with pytest.raises(ObjectLocked) as refused:
        await bucket.erase()
    assert str(until.date()) in refused.value.detail and bucket.versions("calls/4711") == before
    assert (await bucket.files.verify(NADIA, TERMS, None)).remaining > 0


async def test_a_sweep_removes_nothing_of_a_locked_recording_and_says_so(bucket: Bucket):
    until = datetime.now(UTC) + timedelta(days=40)
    said = {"recording": "4700", "tenant": str(PRIVATE.id), "caller": "46700000000", "started_at": ago(days=400)}
    bucket.put("calls/4700.wav", b"one", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    bucket.put("calls/4700.json", json.dumps(said).encode())
    before = bucket.versions("calls/")
    with pytest.raises(ObjectLocked) as refused:
        [piece async for piece in bucket.files.sweep(uuid4(), TERMS, bucket.guard, dict)]
    assert str(until.date()) in refused.value.detail and bucket.versions("calls/") == before


async def test_what_an_order_holds_is_copied_inside_the_bucket_first(bucket: Bucket):
    hold = bucket.guard.hold(NADIA.known[0], "helpdesk_recording")
    step = uuid4()
    effect = await bucket.erase(step)
    assert effect.preserved == {hold: 3} and bucket.versions("calls/4711") == []
    kept = bucket.versions(f".wardline/preserved/{hold}/{step}/")
    assert len([key for key in kept if key.endswith(".wav")]) == 4
    assert await bucket.erase(step) == effect, "asked again, nothing is done again"
    assert (await bucket.files.verify(NADIA, TERMS, None)).remaining == 0, "what is held shows in no verification"
    assert await bucket.files.release(hold) == 3
    assert bucket.versions(".wardline/") == []


async def test_who_was_killed_between_the_right_version_and_the_wrong_one_puts_no_second_right_one(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
):
    change, step = Correction(element="customer_number", old="K0", new="K13"), uuid4()
    before = bucket.versions("calls/")

    def killed(*_: Any) -> None:
        raise OSError

    with monkeypatch.context() as dying:
        dying.setattr(bucket.files.format, "_let_go", killed)
        with pytest.raises(StoreUnavailable):
            await bucket.files.correct(step, NADIA, TERMS, [change])
    assert len(bucket.versions("calls/")) == len(before) + 1
    await bucket.files.correct(step, NADIA, TERMS, [change])
    assert sorted(bucket.versions("calls/")) == sorted(before), "each wrong version has one right one in its place"
    assert [row[2] for row in await collected(bucket.files, NADIA)] == ["K13"] * 3


async def test_a_correction_leaves_no_version_that_says_what_is_wrong(bucket: Bucket):
    change = Correction(element="customer_number", old="K0", new="K13")
    await bucket.files.correct(uuid4(), NADIA, TERMS, [change])
    assert {row[2] for row in await collected(bucket.files, NADIA)} == {"K13"}
    assert len(bucket.versions("calls/4710.json")) == 1


async def test_a_bucket_that_is_away_is_said_and_asked_again_later(bucket: Bucket, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    (away := tmp_path / "away").mkdir()
    files = connector(away, MAP.replace("URL", f"http://127.0.0.1:{port}").replace("BUCKET", bucket.name))
    with pytest.raises(StoreUnavailable):
        await files.preview(NADIA, TERMS, None)
    await files.close()


class Strict(httpx2.HTTPTransport):
    """S3 refuses what was signed for less long than it took to arrive; moto does not look."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        told = request.url.params
        signed = datetime.strptime(told["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if datetime.now(UTC) > signed + timedelta(seconds=int(told["X-Amz-Expires"])):
            said = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
            return httpx2.Response(403, content=said)
        return super().handle_request(request)


async def test_whoever_froze_after_the_last_question_removes_nothing_the_bucket_sees_to_it(bucket: Bucket, monkeypatch):
    monkeypatch.setattr("services.anonymizer.connectors.files.objects.COMMIT_WITHIN", 2.0)
    bucket.files.format.http = httpx2.Client(transport=Strict())
    held, step = [], uuid4()

    async def comes() -> None:
        if not held:
            held.append(bucket.guard.hold(NADIA.known[0], "helpdesk_recording"))
            monkeypatch.setattr("services.anonymizer.connectors.files.objects.monotonic", lambda: 0.0)
            await asyncio.sleep(3.1)  # a machine that stood still: its own clock did, too

    with monkeypatch.context() as freezes:
        freezing(freezes, comes)
        with pytest.raises(StoreUnavailable):
            await bucket.erase(step)
    assert len(bucket.versions("calls/4710")) == 3 and len(bucket.versions("calls/4711")) == 4
    monkeypatch.undo()
    assert (await bucket.erase(step)).preserved == {held[0]: 3} and bucket.versions("calls/4711") == []


async def test_a_version_that_was_frozen_keeps_the_sound_when_a_later_one_goes(bucket: Bucket):
    await bucket.files.freeze(uuid4(), NADIA, TERMS)
    frozen = set(bucket.versions("calls/"))
    bucket.record("4711", "46701740613")
    effect = await bucket.erase()
    assert {(str(one.action), one.count) for one in effect.outcomes} == {("keep", 3), ("erase", 1)}
    assert set(bucket.versions("calls/")) == frozen and len(bucket.versions("calls/4711.json")) == 2


async def test_one_key_works_another_only_reads_and_one_that_was_taken_back_is_said(
    bucket: Bucket, moto: str, tmp_path: Path, monkeypatch
):
    """Who may do what is decided by the server (moto cannot check a request that carries its signature in its address: none is sent)."""
    iam = boto3.client(
        "iam", endpoint_url=moto, aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-north-1"
    )
    keys = {role: _key(iam, role, may) for role, may in (("wardline", ["s3:*"]), ("verifier", ["s3:Get*", "s3:List*"]))}
    written = MAP.replace("URL", moto).replace("BUCKET", bucket.name)
    written = written.replace("access", keys["wardline"][0]).replace("auditor", keys["verifier"][0])
    (place := tmp_path / "two").mkdir()
    files = connector(place, written)
    for role, (_, secret) in keys.items():
        (place / "secrets" / "stores" / f"voices.{role}.password").write_text(secret)
    with monkeypatch.context() as enforced:
        enforced.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0)
        assert (await files.verify(NADIA, TERMS, None)).remaining > 0
        assert len(await collected(files, NADIA)) == 3
        with pytest.raises(ClientError):
            files.format.reading.delete_object(Bucket=bucket.name, Key="calls/4710.json")
    iam.delete_access_key(UserName="wardline", AccessKeyId=keys["wardline"][0])
    with monkeypatch.context() as enforced:
        enforced.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0)
        with pytest.raises(StoreUnavailable) as refused:
            await files.erase(uuid4(), NADIA, TERMS, Guard(), None)
    assert "credential" in refused.value.detail
    assert len(bucket.versions("calls/4711")) == 4 and len(bucket.versions("calls/4710")) == 3
    await files.close()


def _key(iam: Any, role: str, may: list[str]) -> tuple[str, str]:
    iam.create_user(UserName=role)
    allowed = {"Effect": "Allow", "Action": may, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=role, PolicyName="may", PolicyDocument=policy)
    key = iam.create_access_key(UserName=role)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


async def test_a_legal_hold_of_the_bucket_s_own_refuses_too(bucket: Bucket):
    bucket.s3.put_object_legal_hold(Bucket=bucket.name, Key="calls/4711.wav", LegalHold={"Status": "ON"})
    with pytest.raises(ObjectLocked):
        await bucket.erase()
    assert len(bucket.versions("calls/4711")) == 4
