"""The crowd: subscribers, agents and telephone numbers that are nobody's, drawn from the seed.

No planted person is ever drawn into it, so each planted value stands only where the manifest says.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice

import numpy as np

from sample.cases import AGENTS, FJALLRESOR, KUSTBANKEN, PEOPLE, PRIVATE, RECYCLED_NUMBER, Tenant, with_check_digit
from sample.dates import LAKE_MONTHS, TABLE_MONTHS, Calendar

FIRST_ID = 1001
GIVEN = (
    "Agneta Ali Anders Astrid Axel Birgitta Carl Ebba Elin Elsa Emil Fatima Filip Gunnar Hanna Hassan Ida Inga Ingrid Isak "
    "Johan Jonas Karin Kerstin Klara Leif Linnea Lovisa Magnus Mariam Mats Mikael Mohammed Nils Oskar Per Pia Rolf Selma "
    "Sofia Stefan Sven Tove Ulrika Viktor Wilma Yusuf Åke Åsa Östen"
).split()
FAMILY = (
    "Alm Andersson Berg Bergström Björk Blom Dahl Ek Eklund Engström Eriksson Falk Forsberg Fransson Gustafsson Hansson Holm "
    "Håkansson Jansson Johansson Jonsson Karlsson Larsson Lind Lindberg Lindgren Lund Lundgren Löfgren Mattsson Nilsson "
    "Norberg Nyström Olsson Persson Sandberg Sjöberg Ström Sundberg Svensson Wallin Wikström Åberg Öberg Öhman"
).split()
STREETS = (
    "Björkvägen Ringvägen Skolgatan Storgatan Parkvägen Stationsgatan Kyrkogatan Strandvägen Ängsvägen Industrigatan"
).split()
# Postal code, town, county code: the county is the tariff area of the calls from there.
TOWNS = (
    ("11420", "Stockholm", "01"),
    ("75228", "Uppsala", "03"),
    ("58233", "Linköping", "05"),
    ("55320", "Jönköping", "06"),
    ("21421", "Malmö", "12"),
    ("41254", "Göteborg", "14"),
    ("65226", "Karlstad", "17"),
    ("70361", "Örebro", "18"),
    ("85240", "Sundsvall", "22"),
    ("90330", "Umeå", "24"),
    ("97238", "Luleå", "25"),
)
# Numbers kept free for fiction by the regulators of Sweden, the United Kingdom, the United States and Germany.
OUTSIDE = tuple(
    str(n)
    for series in (
        range(46313900610, 46313900700),
        range(46406280400, 46406280500),
        range(46846500460, 46846500500),
        range(447700900000, 447700901000),
        range(441632960000, 441632961000),
        range(12025550100, 12025550200),
        range(12125550100, 12125550200),
        range(493023125000, 493023126000),
    )
    for n in series
)
SERVICE_NUMBERS = ("112", "1177", "11414", "116111", "sip:vaxel@kustbanken.example", "sip:info@fjallresor.example")


@dataclass(frozen=True)
class Crowd:
    """Bulk subscribers as columns; row i has id FIRST_ID + i. Months count back from today; `left` is -1 for who stayed."""

    ids: np.ndarray
    names: list[str]
    personnummer: list[str]
    streets: list[str]
    towns: np.ndarray
    msisdn: np.ndarray
    english: np.ndarray
    joined: np.ndarray
    left: np.ndarray
    weight: np.ndarray

    def email(self, i: int) -> str:
        given, family = self.names[i].lower().translate(_ASCII).split()
        return f"{given}.{family}.{self.ids[i]}@post.example"

    def customer_number(self, i: int) -> str:
        return f"K{1_000_000 + int(self.ids[i])}"

    def active(self, month: int) -> np.ndarray:
        """Positions of those who were subscribers all of the calendar month `month` months ago."""
        return np.flatnonzero((self.joined > month) & (self.left < month))


_ASCII = str.maketrans("åäöé", "aaoe")


def crowd(seed: int, size: int) -> Crowd:
    rng = np.random.default_rng([seed, 1])
    given, family, street = (rng.integers(len(pool), size=size) for pool in (GIVEN, FAMILY, STREETS))
    houses = rng.integers(1, 120, size=size)
    joined = rng.integers(1, 60, size=size)
    leaves = (rng.random(size) < 0.08) & (joined > 3)
    order = np.arange(size)
    return Crowd(
        ids=FIRST_ID + order,
        names=[f"{GIVEN[g]} {FAMILY[f]}" for g, f in zip(given, family, strict=True)],
        personnummer=_personnummer(rng.permutation(25_000 * 20), size),
        streets=[f"{STREETS[s]} {h}" for s, h in zip(street, houses, strict=True)],
        towns=rng.integers(len(TOWNS), size=size),
        msisdn=46701_200_000 + order * 7919 % 500_000,
        english=rng.random(size) < 0.15,
        joined=joined,
        left=np.where(leaves, rng.integers(1, np.maximum(joined, 2)), -1),
        weight=rng.lognormal(0, 0.7, size=size),
    )


def _personnummer(draws: np.ndarray, size: int) -> list[str]:
    """A birthday from 1935 on and one of the twenty birth numbers that Skatteverket gives to nobody."""
    first = date(1935, 1, 1)
    planted = {p.personnummer for p in PEOPLE.values()}
    drawn = (with_check_digit(f"{first + timedelta(days=int(n // 20)):%Y%m%d}{980 + n % 20}") for n in draws)
    return list(islice((number for number in drawn if number not in planted), size))


@dataclass(frozen=True)
class Desk:
    """An agent of the crowd: a company's, or the operator's own helpdesk."""

    number: str
    name: str
    msisdn: str
    tenant: Tenant


DESKS = tuple(
    Desk(number, f"{GIVEN[i % len(GIVEN)]} {FAMILY[i * 7 % len(FAMILY)]}", str(46846500430 + i), tenant)
    for i, (number, tenant) in enumerate(
        [(f"A10{n:02}", PRIVATE) for n in range(1, 9)]
        + [(f"A20{n:02}", KUSTBANKEN) for n in range(1, 11)]
        + [(f"A30{n:02}", FJALLRESOR) for n in range(1, 11)]
    )
    if number not in {a.number for a in AGENTS.values()}
)


@dataclass(frozen=True)
class Life:
    """When a planted person's agreement ran, in months before today, and whom they call beside the crowd."""

    joined: int
    ended: int | None = None
    calls: tuple[str, ...] = ()


LIVES = {
    "anna": Life(26, calls=("erik", "cilla")),
    "erik": Life(33, calls=("anna", "maja")),
    "maja": Life(20, calls=("erik",)),
    "doris": Life(30),
    "ulf": Life(18),
    "bo": Life(30),
    "saga": Life(20, calls=("cilla",)),
    "sara": Life(20, calls=("cilla",)),
    "cilla": Life(12, calls=("anna", "lars")),
    "lars": Life(15),
    "nadia": Life(10),
    "greta": Life(14),
    "hugo": Life(16),
    "ines": Life(9),
    "olle": Life(40, ended=13),
    "petra": Life(16),
    "rasmus": Life(12),
}


@dataclass(frozen=True)
class Line:
    """A number in the hands of one planted person, from one instant to another."""

    user: str
    payer: str
    msisdn: str
    valid_from: datetime
    valid_to: datetime | None
    product: str = "mobile"


def lines(calendar: Calendar) -> list[Line]:
    """Every number a planted person has or had. Maja's is paid by Erik; Petra's first one is Rasmus's now."""
    ordinary = [
        Line(key, "erik" if key == "maja" else key, person.msisdn, *_running(calendar, LIVES[key]))
        for key, person in PEOPLE.items()
    ]
    bo, life = PEOPLE["bo"], LIVES["bo"]

    return [
        *ordinary,
        Line("bo", "bo", bo.fixed or "", *_running(calendar, life), product="fixed"),
        Line("petra", "petra", RECYCLED_NUMBER, calendar.months_ago(45), calendar.months_ago(16)),
        Line("rasmus", "rasmus", RECYCLED_NUMBER, calendar.months_ago(12), None),
    ]


def _running(calendar: Calendar, life: Life) -> tuple[datetime, datetime | None]:
    ended = None if life.ended is None else calendar.months_ago(life.ended)
    return calendar.months_ago(life.joined), ended


ALL_MONTHS = TABLE_MONTHS + LAKE_MONTHS
