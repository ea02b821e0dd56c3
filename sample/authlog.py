"""Authentication logs: a file of JSON lines per day, who tried to log in from where. Never a password."""

import json
from datetime import datetime
from pathlib import Path

import numpy as np

from sample.cases import OMAR, PEOPLE, PRIVATE
from sample.dates import LOG_DAYS, Calendar, text
from sample.people import Crowd

LINES_PER_DAY_AND_SUBSCRIBER = 0.1
EVENTS = ("login", "login", "login", "logout", "password_reset", "sim_swap_check")
# Planted people log in on these days before today; seven days are promised, so day 8 is one too many.
PLANTED_DAYS = (8, 5, 2, 1)


def lines(seed: int, calendar: Calendar, people: Crowd, age: int) -> list[dict]:
    """One day's lines in the order they happened, planted people's among them."""
    drawn = _drawn(seed, calendar, people, age)
    return sorted(drawn + planted(calendar, age), key=lambda line: (line["time"], line["account"]))


def planted(calendar: Calendar, age: int) -> list[dict]:
    if age not in PLANTED_DAYS:
        return []
    at = calendar.day(age, hour=7)
    people = [
        _line(at.replace(minute=p.id), "login", p.account, p.email, p.msisdn, p.ip, p.mac, "success", str(p.tenant.id))
        for p in PEOPLE.values()
    ]
    agent = _line(
        at,
        "login",
        OMAR.email.partition("@")[0],
        OMAR.email,
        None,
        "192.0.2.207",
        "02:00:5e:10:00:6b",
        "success",
        str(OMAR.tenant.id),
    )
    return [*people, agent]


def _drawn(seed: int, calendar: Calendar, people: Crowd, age: int) -> list[dict]:
    rng = np.random.default_rng([seed, 7, age])
    count = int(len(people.ids) * LINES_PER_DAY_AND_SUBSCRIBER)
    who, seconds = rng.integers(len(people.ids), size=count).tolist(), rng.integers(86_400, size=count).tolist()
    event, failed = rng.integers(len(EVENTS), size=count).tolist(), (rng.random(count) < 0.07).tolist()
    return [
        _line(
            calendar.day(age, hour=s // 3600, minute=s // 60 % 60).replace(second=s % 60),
            EVENTS[e],
            people.email(i).partition("@")[0],
            people.email(i),
            str(people.msisdn[i]),
            f"198.18.{i // 256 % 256}.{i % 256}",
            f"02:00:5e:20:{i // 256 % 256:02x}:{i % 256:02x}",
            "failure" if f else "success",
            str(PRIVATE.id),
        )
        for i, s, e, f in zip(who, seconds, event, failed, strict=True)
    ]


def _line(
    at: datetime,
    event: str,
    account: str,
    email: str | None,
    msisdn: str | None,
    ip: str,
    mac: str,
    outcome: str,
    tenant: str,
) -> dict:
    return {
        "time": text(at),
        "tenant": tenant,
        "event": event,
        "account": account,
        "email": email,
        "msisdn": msisdn,
        "ip": ip,
        "mac": mac,
        "outcome": outcome,
    }


def write(root: Path, calendar: Calendar, age: int, day: list[dict]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in day)
    (root / f"{calendar.day(age):%Y-%m-%d}.jsonl").write_text(text)


def days() -> range:
    """Ages of the files, newest first; today has none yet."""
    return range(1, LOG_DAYS)
