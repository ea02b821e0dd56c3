"""The folder of recorded calls: a WAV and its sidecar per recording, older versions beside them.

The sound is two short tones, the same length for all; the sidecar says how long the call was that it stands for.
"""

import io
import json
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np

from sample.cases import CASES, LENA, OMAR, PEOPLE, PRIVATE, SWITCHBOARD, Tenant
from sample.dates import Calendar, text
from sample.people import DESKS, Crowd

RATE = 8000
SECONDS = 0.3


@dataclass(frozen=True)
class Recording:
    """One recorded call; `versions` counts the older ones kept beside it."""

    id: str
    tenant: Tenant
    agent_number: str
    customer_number: str | None
    caller: str
    callee: str
    started_at: datetime
    duration_ms: int
    versions: int = 0

    def sidecar(self) -> dict:
        return {
            "recording": self.id,
            "tenant": str(self.tenant.id),
            "agent_number": self.agent_number,
            "customer_number": self.customer_number,
            "caller": self.caller,
            "callee": self.callee,
            "started_at": text(self.started_at),
            "duration_ms": self.duration_ms,
        }

    @property
    def folder(self) -> Path:
        return Path(str(self.tenant.id)) / f"{self.started_at:%Y-%m-%d}"

    def stems(self) -> list[Path]:
        """The newest version first, each without its ending."""
        older = [self.folder / ".versions" / f"{self.id}.{n}" for n in range(1, self.versions + 1)]
        return [self.folder / self.id, *older]


def planted(calendar: Calendar) -> list[Recording]:
    nadia, anna, cilla = PEOPLE["nadia"], PEOPLE["anna"], PEOPLE["cilla"]
    facts = CASES[9].facts
    own = [(anna, "4801", 6), (anna, "4802", 21), (PEOPLE["saga"], "4803", 16), (PEOPLE["sara"], "4804", 16)]
    own += [(nadia, sibling, int(facts["recording_day"])) for sibling in str(facts["siblings"]).split(",")]
    own.append((cilla, "4805", 31))
    return [
        Recording(
            str(facts["recording"]),
            PRIVATE,
            "A1001",
            nadia.customer_number,
            nadia.msisdn,
            SWITCHBOARD,
            calendar.day(int(facts["recording_day"]), hour=11),
            61_000,
            versions=int(facts["versions"]),
        ),
        *(
            Recording(id, PRIVATE, "A1002", p.customer_number, p.msisdn, SWITCHBOARD, calendar.day(age), 95_000)
            for p, id, age in own
        ),
        *(
            Recording(
                f"49{n:02}", OMAR.tenant, OMAR.number, None, cilla.msisdn, OMAR.msisdn, calendar.day(2 + 4 * n), 180_000
            )
            for n in range(int(CASES[7].facts["recordings"]))
        ),
        Recording("4990", LENA.tenant, LENA.number, None, cilla.msisdn, LENA.msisdn, calendar.day(4), 120_000),
    ]


def drawn(seed: int, calendar: Calendar, people: Crowd) -> Iterator[Recording]:
    """One for every 25th subscriber, in the last forty days, at the operator's helpdesk and the companies' desks."""
    rng = np.random.default_rng([seed, 6])
    count = len(people.ids) // 25
    draws = zip(
        rng.integers(len(people.ids), size=count).tolist(),
        rng.integers(len(DESKS), size=count).tolist(),
        rng.integers(1, 40, size=count).tolist(),
        rng.integers(20_000, 900_000, size=count).tolist(),
        strict=True,
    )
    for n, (who, desk, age, duration) in enumerate(draws):
        at = DESKS[desk]
        known = people.customer_number(who) if at.tenant == PRIVATE else None
        callee = SWITCHBOARD if at.tenant == PRIVATE else at.msisdn
        yield Recording(
            str(5000 + n), at.tenant, at.number, known, str(people.msisdn[who]), callee, calendar.day(age), duration
        )


def write(root: Path, recordings: list[Recording]) -> None:
    for recording in recordings:
        for version, stem in enumerate(recording.stems()):
            path = root / stem
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f"{path.name}.wav").write_bytes(tones(220 + (int(recording.id) * 7 + version) % 600))
            path.with_name(f"{path.name}.json").write_text(json.dumps(recording.sidecar(), indent=1) + "\n")


@cache
def tones(hertz: int) -> bytes:
    """A WAV file: 16 bits, 8 kHz, the caller on the left channel and the desk, an octave higher, on the right."""
    time = np.arange(int(RATE * SECONDS)) / RATE
    samples = (np.sin(2 * np.pi * np.outer(time, (hertz, 2 * hertz))) * 8000).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.tobytes())
    return file.getvalue()
