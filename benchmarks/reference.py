"""What others would write in ten lines, in a process of its own.

    python -m benchmarks.reference hello PORT             FastAPI's hello world, served exactly as our processes are
    python -m benchmarks.reference two_rows SECONDS N     transactions of two rows by bare asyncpg; prints how many a second, and
                                                          what each cost this process, in seconds of a core

`two_rows` reads asyncpg's arguments from BENCH_DSN as JSON.
"""

import asyncio
import json
import os
import sys
import time
from uuid import uuid4

import asyncpg
import uvicorn
import uvloop
from fastapi import FastAPI

from ops.serving import settings

CONNECTIONS = 10  # as many as a service's own pool


def hello() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def say() -> dict[str, str]:
        return {"hello": "world"}

    return app


async def two_rows(seconds: float, at_once: int) -> tuple[float, float]:
    """(how many a second, cost of each); of a line, each is committed before the next begins."""
    told = json.loads(os.environ["BENCH_DSN"])
    async with asyncpg.create_pool(**told, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        began, busy = time.perf_counter(), time.process_time()

        async def line() -> int:
            done = 0
            while time.perf_counter() - began < seconds:
                id = uuid4()
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute("INSERT INTO bench_one (id, said) VALUES ($1, $2)", id, "yes")
                    await connection.execute("INSERT INTO bench_other (id, said) VALUES ($1, $2)", id, "yes")
                done += 1
            return done

        done = sum(await asyncio.gather(*(line() for _ in range(at_once))))
        return done / (time.perf_counter() - began), (time.process_time() - busy) / done


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["hello", port]:
            uvicorn.Server(settings(hello(), "127.0.0.1", int(port))).run()
        case ["two_rows", seconds, at_once]:
            print(*uvloop.run(two_rows(float(seconds), int(at_once))))
