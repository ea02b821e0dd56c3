"""Recordings in an S3 bucket: a JSON sidecar and a sound beside it, each perhaps in many versions. What goes, goes with all of them.

Before anything goes every version is asked for its lock: one that is locked refuses the whole recording, and says until when. An object
that only a delete marker hides is still there, and is read and removed like any other. Whoever looks through everything, to verify or
to sweep, does it with the access key that only reads.

What may go only by a fresh answer about holds is removed by requests that are signed before the question, and that the bucket itself
refuses a few seconds later: whoever froze after the answer removes nothing.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

import httpx2
import orjson

from services.anonymizer.connectors.files.formats import OWN, Edits, Folder, Leave, Marks, Row, typed
from services.anonymizer.connectors.guard import COMMIT_WITHIN
from services.anonymizer.contract import ObjectLocked
from services.anonymizer.datamap import DataMapFault, Store, Table
from services.anonymizer.settings import Settings

_SIDECAR = ".json"
_AT_ONCE = 50
_STANDS_FOR = "wardline-stands-for"


class Objects(Folder):
    """`SECRETS_DIR/stores/<store>.wardline.password` is the secret of the access key `user`, `….verifier.password` that of `reader`.
    The sound lies in the bucket, from where people have to fetch it."""

    versions, gives_back = True, False

    def __init__(self, store: Store, settings: Settings) -> None:
        place = store.location
        if not (place.bucket and place.user and place.reader and place.folder):
            raise DataMapFault(
                f"{store.store}: an object store needs bucket, user, reader, and a folder for what is planned"
            )
        self.store, self.settings, self.place = store, settings, place
        self.root = settings.folder(place.folder)
        self.root.mkdir(parents=True, exist_ok=True)
        self.http = httpx2.Client(timeout=30, trust_env=False)

    @cached_property
    def s3(self) -> Any:
        return self._client(self.place.user, "wardline")

    @cached_property
    def reading(self) -> Any:
        return self._client(self.place.reader, "verifier")

    def _client(self, key: str | None, role: str) -> Any:
        # Imported by the first look into a bucket: no other store needs it. Versions and locks are S3's own, so is the client.
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.place.url,
            aws_access_key_id=key,
            aws_secret_access_key=self.settings.password(f"stores/{self.store.store}.{role}"),
            region_name="eu-north-1",
            config=Config(
                signature_version="s3v4",
                retries={"max_attempts": 3, "mode": "standard"},
                connect_timeout=5,
                read_timeout=30,
            ),
        )

    def pieces(self, root: Path, values: set[str] | None = None) -> Iterator[Path]:
        """One piece per sidecar, whatever versions there are of it."""
        inside = str(root.relative_to(self.root))
        prefix = self.place.prefix if inside == "." else f"{inside}/"
        client = self.reading if values is None and inside == "." else self.s3
        keys = {one["Key"] for one in self._versions(prefix, client=client) if one["Key"].endswith(_SIDECAR)}
        for key in sorted(keys):
            if inside != "." or OWN not in key.split("/"):
                yield self.root / key

    def read(self, path: Path, table: Table, values: set[str] | None = None) -> list[tuple[str, Row]]:
        client = self.reading if values is None and OWN not in path.parts else self.s3
        versions = [one for one in self._versions(self._key(path), exactly=True, client=client) if "Size" in one]
        rows = [self._sidecar(one, table, client) for one in versions]
        return [(one["VersionId"], row) for one, row in zip(versions, rows, strict=True)]

    def rewrite(self, path: Path, table: Table, gone: Marks, edits: Edits, leave: Leave) -> None:
        if gone:
            self._remove(path, gone, leave)
        for mark, columns in edits.items():
            self._change(path, mark, {column: edit.value for column, edit in columns.items()}, leave)

    def copy(self, path: Path, table: Table, marks: Marks, target: Path) -> None:
        """Into the same bucket, beside the recordings, so that it never leaves the store."""
        for part in self._keys(path):
            for one in self._versions(part, exactly=True):
                if "Size" in one:
                    name = f"{target.relative_to(self.root)}/{Path(part).stem}.{one['VersionId']}{Path(part).suffix}"
                    if any(self._versions(name, exactly=True)):
                        continue
                    source = {"Bucket": self.place.bucket, "Key": part, "VersionId": one["VersionId"]}
                    self.s3.copy_object(Bucket=self.place.bucket, Key=name, CopySource=source)

    def discard(self, folder: Path) -> None:
        self._delete(list(self._versions(f"{folder.relative_to(self.root)}/")))
        super().discard(folder)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """The client's own errors say too much."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            with super().faults():
                yield
        except ClientError as fault:
            code = fault.response["ResponseMetadata"]["HTTPStatusCode"]
            raise OSError(errno.EACCES if code in (401, 403) else errno.EIO, "refused") from None
        except (BotoCoreError, httpx2.HTTPError):
            raise ConnectionError("the object store does not answer") from None

    def close(self) -> None:
        self.http.close()
        for client in ("s3", "reading"):
            if client in vars(self):
                getattr(self, client).close()

    # --- the bucket ------------------------------------------------------------------------------------------------------

    def _remove(self, path: Path, gone: Marks, leave: Leave) -> None:
        """The sidecar last: as long as it is there, a removal that was killed is found again. A version that stays (another's, or one
        that is restricted) needs the sound."""
        parts = [list(self._versions(part, exactly=True)) for part in self._keys(path)]
        if any(one["VersionId"] not in gone for one in parts[-1] if "Size" in one):
            parts = [[one for one in parts[-1] if one["VersionId"] in gone]]
        for one in [each for part in parts for each in part if "Size" in each]:
            self._unlocked(one)
        self._let_go([one for part in parts for one in part], leave)

    def _unlocked(self, version: dict[str, Any]) -> None:
        """Raises ObjectLocked."""
        seen = self.s3.head_object(Bucket=self.place.bucket, Key=version["Key"], VersionId=version["VersionId"])
        until: datetime | None = seen.get("ObjectLockRetainUntilDate")
        if seen.get("ObjectLockLegalHoldStatus") == "ON":
            raise ObjectLocked(
                f"{self.store.store} holds a recording under a legal hold of its own; nothing of it was removed."
            )
        if until and until > datetime.now(until.tzinfo):
            raise ObjectLocked(f"{self.store.store} locks a recording until {until.date()}; nothing of it was removed.")

    def _let_go(self, versions: list[dict[str, Any]], leave: Leave) -> None:
        """Some at a time, each time by a fresh answer."""
        for at in range(0, len(versions), _AT_ONCE):
            while True:
                began = monotonic()
                signed = [self._signed(one) for one in versions[at : at + _AT_ONCE]]
                leave()
                if monotonic() - began < COMMIT_WITHIN / 2:
                    break  # else most of their time went by while held records were copied
            for url in signed:
                self._delete_by(url)

    def _signed(self, version: dict[str, Any]) -> str:
        named = {"Bucket": self.place.bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
        return self.s3.generate_presigned_url("delete_object", Params=named, ExpiresIn=int(COMMIT_WITHIN))

    def _delete_by(self, url: str) -> None:
        answer = self.http.delete(url)
        if answer.status_code == 403 and b"expired" in answer.content:
            raise ConnectionError("too late")
        if answer.status_code == 403 and b"AccessDenied" in answer.content:
            raise ObjectLocked(f"{self.store.store} refused to remove a version.")
        if answer.status_code >= 400:
            raise OSError(errno.EACCES if answer.status_code in (401, 403) else errno.EIO, "refused")

    def _delete(self, versions: list[dict[str, Any]]) -> None:
        for at in range(0, len(versions), 1000):
            named = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in versions[at : at + 1000]]
            answer = self.s3.delete_objects(Bucket=self.place.bucket, Delete={"Objects": named, "Quiet": True})
            if answer.get("Errors"):
                raise ObjectLocked(f"{self.store.store} refused to remove {len(answer['Errors'])} version(s).")

    def _change(self, path: Path, mark: str, values: dict[str, str | None], leave: Leave) -> None:
        """A new version says what is right and for which it stands, so that whoever was killed in between finds it, and the wrong one goes."""
        key = self._key(path)
        wrong = [one for one in self._versions(key, exactly=True) if one["VersionId"] == mark]
        if wrong:
            said = orjson.loads(self.s3.get_object(Bucket=self.place.bucket, Key=key, VersionId=mark)["Body"].read())
            self._unlocked(wrong[0])
            if not self._stands_for(key, mark):
                body = orjson.dumps(said | values)
                self.s3.put_object(Bucket=self.place.bucket, Key=key, Body=body, Metadata={_STANDS_FOR: mark})
            self._let_go(wrong, leave)

    def _stands_for(self, key: str, mark: str) -> bool:
        named = [
            {"Key": key, "VersionId": one["VersionId"]} for one in self._versions(key, exactly=True) if "Size" in one
        ]
        seen = (self.s3.head_object(Bucket=self.place.bucket, **one) for one in named)
        return any(one["Metadata"].get(_STANDS_FOR) == mark for one in seen)

    def _sidecar(self, version: dict[str, Any], table: Table, client: Any) -> Row:
        named = {"Bucket": self.place.bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
        return typed(orjson.loads(client.get_object(**named)["Body"].read()), table)

    def _versions(self, prefix: str, exactly: bool = False, client: Any = None) -> Iterator[dict[str, Any]]:
        """Every version and delete marker; only versions have a size."""
        listing = (client or self.s3).get_paginator("list_object_versions")
        pages = listing.paginate(Bucket=self.place.bucket, Prefix=prefix)
        for page in pages:
            for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                if not exactly or one["Key"] == prefix:
                    yield one

    def _keys(self, path: Path) -> list[str]:
        key = self._key(path)
        return [key.removesuffix(_SIDECAR) + ".wav", key]

    def _key(self, path: Path) -> str:
        return str(path.relative_to(self.root))
