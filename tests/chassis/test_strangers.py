"""Systems that are not ours: each is asked on a connection of its own, on which it has proved its own name."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from chassis import addresses, strangers

NAMES = ("one.example", "other.example")


async def test_of_two_names_at_one_address_each_is_asked_under_its_own(tmp_path, monkeypatch):
    """As behind one entrance, which leads by the name that the connection began with."""
    async with _entrance(tmp_path) as (port, led, trusted):

        async def resolved(url: str, loopback: bool) -> addresses.Target:
            name = url.removeprefix("https://").partition("/")[0]
            return addresses.Target(f"https://127.0.0.1:{port}/hook", name)

        monkeypatch.setattr(addresses, "resolve", resolved)
        async with httpx2.AsyncClient(trust_env=False, verify=trusted) as http:
            for name in NAMES:
                async with strangers.asking_at(
                    http, "POST", f"https://{name}/hook", 5, loopback=False, headers={"x": "y"}, content=b"{}"
                ) as answer:
                    assert await answer.aread() == b"taken"
    assert led == [(name, name) for name in NAMES]


@asynccontextmanager
async def _entrance(folder: Path) -> AsyncIterator[tuple[int, list[tuple[str, str]], ssl.SSLContext]]:
    """(its port, whither whom it led by TLS and asked for what host, who believes its certificates)."""
    inside, led = {name: _certified(folder, name) for name in NAMES}, list[tuple[str, str]]()

    def choose(connection: ssl.SSLObject, name: str, _: ssl.SSLContext) -> None:
        connection.context = inside[name]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        context = writer.get_extra_info("ssl_object").context
        name = next(each for each in NAMES if inside[each] is context)
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(2)
            host = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"host: "))
            led.append((name, host[6:].decode()))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ntaken")

    async def until_left(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    front.sni_callback = choose  # type: ignore[assignment]
    trusted = ssl.create_default_context()
    for name in NAMES:
        trusted.load_verify_locations(folder / f"{name}.pem")
    async with await asyncio.start_server(until_left, "127.0.0.1", 0, ssl=front) as server:
        yield server.sockets[0].getsockname()[1], led, trusted


def _certified(folder: Path, name: str) -> ssl.SSLContext:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .sign(key, SHA256())
    )
    written = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    written.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(written)
    return context
