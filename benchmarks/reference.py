"""What others would write in ten lines, in a process of its own.

    python -m benchmarks.reference hello PORT             FastAPI's hello world, served exactly as our processes are
    python -m benchmarks.reference json PORT              pure ASGI: reads each batch of questions and says yes to all of it
    python -m benchmarks.reference two_rows_http PORT     FastAPI writing two rows in a transaction by bare asyncpg
    python -m benchmarks.reference two_rows SECONDS N     transactions of two rows by bare asyncpg; prints how many a second, and
                                                          what each cost this process, in seconds of a core

Those of two rows read asyncpg's arguments from BENCH_DSN as JSON.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import orjson
import uvicorn
import uvloop
from fastapi import FastAPI, Request
from starlette.types import Receive, Scope, Send

from ops.serving import settings

CONNECTIONS = 10  # as many as a service's own pool


def hello() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def say() -> dict[str, str]:
        return {"hello": "world"}

    return app


async def json_alone(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return await _nothing_to_start(receive, send)
    raw = b""
    while True:
        message = await receive()
        raw += message.get("body", b"")
        if not message.get("more_body"):
            break
    context = {"reason": "consent", "basis": "consent", "record": UUID(int=1), "state_version": 1}
    told = [{"decision": True, "context": context} for _ in orjson.loads(raw)["evaluations"]]
    body = orjson.dumps({"evaluations": told})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def _nothing_to_start(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def two_rows_http() -> FastAPI:
    @asynccontextmanager
    async def pooled(app: FastAPI) -> AsyncIterator[None]:
        async with _pool() as app.state.pool:
            yield

    app = FastAPI(lifespan=pooled)

    @app.post("/", status_code=201)
    async def write(request: Request) -> dict[str, str]:
        said = await request.json()
        await _write(request.app.state.pool, UUID(said["id"]))
        return {"id": said["id"]}

    return app


async def two_rows(seconds: float, at_once: int) -> tuple[float, float]:
    """(how many a second, cost of each); of a line, each is committed before the next begins."""
    async with _pool() as pool:
        began, busy = time.perf_counter(), time.process_time()

        async def line() -> int:
            done = 0
            while time.perf_counter() - began < seconds:
                await _write(pool, uuid4())
                done += 1
            return done

        done = sum(await asyncio.gather(*(line() for _ in range(at_once))))
        return done / (time.perf_counter() - began), (time.process_time() - busy) / done


def _pool() -> asyncpg.Pool:
    return asyncpg.create_pool(**json.loads(os.environ["BENCH_DSN"]), min_size=CONNECTIONS, max_size=CONNECTIONS)


async def _write(pool: asyncpg.Pool, id: UUID) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("INSERT INTO bench_one (id, said) VALUES ($1, $2)", id, "yes")
        await connection.execute("INSERT INTO bench_other (id, said) VALUES ($1, $2)", id, "yes")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["hello", port]:
            uvicorn.Server(settings(hello(), "127.0.0.1", int(port))).run()
        case ["json", port]:
            uvicorn.Server(settings(json_alone, "127.0.0.1", int(port))).run()
        case ["two_rows_http", port]:
            uvicorn.Server(settings(two_rows_http(), "127.0.0.1", int(port))).run()
        case ["two_rows", seconds, at_once]:
            print(*uvloop.run(two_rows(float(seconds), int(at_once))))
