"""Kinds of stores that the sample operator has none of: MariaDB, a bucket, a helpdesk behind HTTP. Each holds one person and a stranger,
and is filled again for the next one, so that how it looks afterwards can be compared with how it looked after somebody else."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Protocol

import boto3
import pymysql
from moto.server import ThreadedMotoServer

from tests.anonymizer import mariadb, test_mariadb, test_objects, test_zendesk
from tests.anonymizer.vendor import Vendor
from tests.serving import serve

AT, DAY = "2026-01-05T08:00:00+00:00", "2026-01-05 08:00:00"


class Elsewhere(Protocol):
    """`map`: how the data map writes it · `places`: the folders in which Wardline keeps what it needs, below the house's home."""

    map: str
    places: tuple[str, ...]

    def fill(self, tenant: object, number: str, address: str) -> None:
        """With this person and a stranger, and nobody else."""
        ...

    def seen(self) -> Any:
        """All that stands there, and whatever else could tell that something was done twice."""
        ...


class Chats:
    places = ("kept/chats/chat", "kept/chats/message")

    def __init__(self, port: int) -> None:
        self.port = port
        self.map = test_mariadb.MAP.replace("DATABASE", "chats").replace("PORT", str(port))
        with closing(mariadb.admin(port)) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE chats")
            cursor.execute("USE chats")
            for statement in test_mariadb.DDL.split(";"):
                cursor.execute(statement)
            for role, may in (("wardline", "SELECT, INSERT, UPDATE, DELETE"), ("verifier", "SELECT")):
                cursor.execute(f"CREATE USER chats_{role}@'127.0.0.1' IDENTIFIED BY 'wonderland'")
                cursor.execute(f"GRANT {may} ON chats.* TO chats_{role}@'127.0.0.1'")

    def fill(self, tenant: object, number: str, address: str) -> None:
        with closing(mariadb.admin(self.port, "chats")) as connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM message")
            cursor.execute("DELETE FROM chat")
            for id, email in ((1, address), (2, "olof@epost.example"), (12_003, address)):
                chat, message = (id, tenant, email, DAY, DAY), (id, tenant, id, f"Skriv till {address}", DAY)
                cursor.execute("INSERT INTO chat VALUES (%s, %s, NULL, 'Namn', %s, %s, %s)", chat)
                cursor.execute("INSERT INTO message VALUES (%s, %s, %s, %s, %s)", message)

    def seen(self) -> Any:
        with closing(mariadb.admin(self.port, "chats")) as connection:
            with connection.cursor(pymysql.cursors.DictCursor) as cursor:
                found = {}
                for table in ("chat", "message"):
                    cursor.execute(f"SELECT * FROM {table} ORDER BY id")
                    found[table] = list(cursor)
        return found


class Voices:
    places = ("kept/voices",)

    def __init__(self, url: str) -> None:
        self.map = test_objects.MAP.replace("URL", url).replace("BUCKET", "voices")
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        self.s3 = boto3.client("s3", endpoint_url=url, region_name="eu-north-1", **keys)
        where = {"LocationConstraint": "eu-north-1"}
        self.s3.create_bucket(Bucket="voices", CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)

    def fill(self, tenant: object, number: str, address: str) -> None:
        for one in self._versions():
            self.s3.delete_object(Bucket="voices", Key=one["Key"], VersionId=one["VersionId"])
        for recording, caller in (("4711", number), ("4712", "46700000000")):
            said = {"recording": recording, "tenant": str(tenant), "caller": caller, "started_at": AT}
            for take in (b"one", b"two"):
                self.s3.put_object(Bucket="voices", Key=f"calls/{recording}.wav", Body=take)
                self.s3.put_object(Bucket="voices", Key=f"calls/{recording}.json", Body=json.dumps(said).encode())

    def seen(self) -> Any:
        """Every version, and what it says."""
        return sorted([one["Key"], self._body(one) if "Size" in one else "hidden"] for one in self._versions())

    def _versions(self) -> list[dict[str, Any]]:
        page = self.s3.list_object_versions(Bucket="voices")
        return [*page.get("Versions", []), *page.get("DeleteMarkers", [])]

    def _body(self, version: dict[str, Any]) -> Any:
        got = self.s3.get_object(Bucket="voices", Key=version["Key"], VersionId=version["VersionId"])
        body = got["Body"].read().decode()
        return json.loads(body) if version["Key"].endswith(".json") else body


class Tickets:
    places = ("kept/tickets",)

    def __init__(self, url: str, vendor: Vendor) -> None:
        self.map, self.vendor = test_zendesk.MAP.replace("URL", url), vendor

    def fill(self, tenant: object, number: str, address: str) -> None:
        vendor = self.vendor
        for all_of_it in (vendor.users, vendor.tickets, vendor.comments, vendor.deleted, vendor.kept, vendor.purging):
            all_of_it.clear()
        vendor.user(1, name="Namn", email=address)
        vendor.user(2, name="Olof", email="olof@epost.example")
        for ticket in (11, 12):
            vendor.ticket(ticket, 1, "Hej", "Tack", at=AT, status="solved")
        for ticket in (21, 22):
            vendor.ticket(ticket, 2, f"Write to {address}, please", "Nothing here", at=AT, status="closed")

    def seen(self) -> Any:
        vendor = self.vendor
        return [vendor.users, vendor.tickets, vendor.comments, sorted(vendor.deleted), sorted(vendor.purging)]


@asynccontextmanager
async def elsewhere() -> AsyncIterator[dict[str, Elsewhere]]:
    """By name. Without the first where there is no MariaDB."""
    async with AsyncExitStack() as stack:
        found: dict[str, Elsewhere] = {}
        if shutil.which("mariadbd"):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wardline-m-", dir="/tmp")))
            found["chats"] = Chats(stack.enter_context(mariadb.server(folder)))
        moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        moto.start()
        stack.callback(moto.stop)
        host, port = moto.get_host_and_port()
        found["voices"] = Voices(f"http://{host}:{port}")
        stack.callback(found["voices"].s3.close)
        vendor = Vendor()
        found["tickets"] = Tickets(await stack.enter_async_context(serve(vendor.app())), vendor)
        yield found
