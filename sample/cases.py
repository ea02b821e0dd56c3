"""The planted people and what must become of them: one table for the tour, the journeys and the documentation.

Pure data. Dates are ages relative to the reference day the stores were filled for; `fill` turns them into rows.
"""

from dataclasses import dataclass, field
from uuid import UUID

SEED = 20270115
SUBSCRIBERS = 2000


@dataclass(frozen=True)
class Tenant:
    """A customer organisation of the operator; its private subscribers together form one."""

    id: UUID
    name: str


PRIVATE = Tenant(UUID("01941f29-7c00-7000-8000-000000000001"), "Nordtel privat")
KUSTBANKEN = Tenant(UUID("01941f29-7c00-7000-8000-000000000002"), "Kustbanken AB")
FJALLRESOR = Tenant(UUID("01941f29-7c00-7000-8000-000000000003"), "Fjällresor AB")
TENANTS = (PRIVATE, KUSTBANKEN, FJALLRESOR)
# A supervisory authority is no customer: under a customer's name it would hear of that one's people.
REGULATOR = UUID("01941f29-7c00-7000-8000-000000000009")

HELPLINE = "116111"
SWITCHBOARD = "46771793336"


@dataclass(frozen=True)
class Person:
    """A planted subscriber. `msisdn` is E.164 digits; birth numbers 980-999 belong to nobody."""

    key: str
    id: int
    name: str
    born: str
    birth_number: int
    street: str
    postal_code: str
    city: str
    msisdn: str
    language: str = "sv"
    fixed: str | None = None
    tenant: Tenant = PRIVATE

    @property
    def customer_number(self) -> str:
        return f"K{1_000_000 + self.id}"

    @property
    def personnummer(self) -> str:
        return with_check_digit(f"{self.born}{self.birth_number}")

    @property
    def account(self) -> str:
        return self.email.partition("@")[0]

    @property
    def email(self) -> str:
        return self.name.lower().translate(_ASCII).replace(" ", ".") + "@epost.example"

    @property
    def address(self) -> str:
        return self.street

    @property
    def ip(self) -> str:
        return f"192.0.2.{100 + self.id}"

    @property
    def mac(self) -> str:
        return f"02:00:5e:10:00:{self.id:02x}"


@dataclass(frozen=True)
class Agent:
    """Somebody who answers the telephone for a company that uses Nordtel's contact centre."""

    key: str
    name: str
    number: str
    email: str
    msisdn: str
    tenant: Tenant


_ASCII = str.maketrans("åäöé", "aaoe")


def with_check_digit(digits: str) -> str:
    """A personnummer's twelve digits from its first eleven (the check digit counts from the year's last two)."""
    doubled = (int(d) * (2 - i % 2) for i, d in enumerate(digits[2:]))
    return digits + str(-sum(d // 10 + d % 10 for d in doubled) % 10)


PEOPLE = {
    p.key: p
    for p in (
        Person("anna", 1, "Anna Testlind", "19850412", 982, "Provgatan 1", "11111", "Stockholm", "46701740605"),
        Person("erik", 2, "Erik Modellqvist", "19780903", 981, "Exempelvägen 2A", "41103", "Göteborg", "46701740606"),
        Person("maja", 3, "Maja Modellqvist", "20100621", 984, "Exempelvägen 2B", "41103", "Göteborg", "46701740607"),
        Person("doris", 4, "Doris Tvistberg", "19610217", 986, "Kvittogränd 4", "21115", "Malmö", "46701740608"),
        Person("ulf", 5, "Ulf Skuldman", "19690530", 983, "Kvittogränd 5", "21115", "Malmö", "46701740609"),
        Person(
            "bo",
            6,
            "Bo Gränsfält",
            "19550808",
            985,
            "Dagboksvägen 6",
            "97231",
            "Luleå",
            "46701740610",
            fixed="46980319206",
        ),
        Person("saga", 7, "Saga Tvillingdal", "19920124", 988, "Spegelgatan 7", "75310", "Uppsala", "46701740611"),
        Person("sara", 8, "Sara Tvillingdal", "19920124", 990, "Spegelgatan 8", "75310", "Uppsala", "46701740612"),
        Person("cilla", 9, "Cilla Ringström", "19880319", 992, "Luravägen 9", "90325", "Umeå", "46701740613"),
        Person("lars", 10, "Lars Brevhult", "19490711", 987, "Kuvertstigen 10", "65224", "Karlstad", "46701740614"),
        Person(
            "nadia",
            11,
            "Nadia Pratén",
            "19951105",
            994,
            "Chattgatan 11",
            "25220",
            "Helsingborg",
            "46701740615",
            language="en",
        ),
        Person("greta", 12, "Greta Postlund", "19720226", 996, "Lådvägen 12", "70210", "Örebro", "46701740616"),
        Person("hugo", 13, "Hugo Utlandh", "19830615", 989, "Gränsgatan 13", "21120", "Malmö", "46701740617"),
        Person("ines", 14, "Ines Lagerquist", "19900502", 998, "Lagringsvägen 14", "58222", "Linköping", "46701740618"),
        Person("olle", 15, "Olle Avslutsson", "19660918", 991, "Slutgatan 15", "85230", "Sundsvall", "46701740619"),
        Person("petra", 16, "Petra Förrstedt", "19810127", 980, "Nummergränd 16", "35230", "Växjö", "46701740620"),
        Person("rasmus", 17, "Rasmus Efterlund", "19990814", 993, "Nummergränd 17", "35230", "Växjö", "46701740621"),
    )
}
# The number Petra had before Rasmus; each has one of their own beside it.
RECYCLED_NUMBER = "46701740690"

OMAR = Agent("omar", "Omar Växelby", "A2007", "omar.vaxelby@kustbanken.example", "46846500407", KUSTBANKEN)
LENA = Agent("lena", "Lena Bokstrand", "A3001", "lena.bokstrand@fjallresor.example", "46313900601", FJALLRESOR)
AGENTS = {a.key: a for a in (OMAR, LENA)}


@dataclass(frozen=True)
class Case:
    """One story: who is in it, what must be seen, and the identifiers a test needs to find it."""

    number: int
    people: tuple[str, ...]
    expected: str
    facts: dict[str, str | int] = field(default_factory=dict)


CASES = {
    c.number: c
    for c in (
        Case(
            1,
            ("anna",),
            "gives and withdraws a consent, asks for her data, asks for deletion: part goes, part stays by named rules, "
            "the rest of it goes by itself later",
        ),
        Case(
            2,
            ("erik", "maja"),
            "Erik asks for the data of Maja's number: his contract and invoices; her calls withheld; "
            "the helpline appears nowhere",
            {"number": "46701740607", "helpline": HELPLINE},
        ),
        Case(
            3,
            ("doris", "ulf"),
            "the disputed invoice of 25 months keeps its billing rows only, until its claim ends or is settled; "
            "the unpaid invoice keeps its 14-month-old traffic",
            {
                "disputed_month": 25,
                "claim": "KFM-2025-0425",
                "claim_owner": "kundreskontra@nordtel.example",
                "unpaid_month": 14,
            },
        ),
        Case(
            4,
            ("bo",),
            "location of day 62 gone; the retention copy of the mobile call of month 7 gone; "
            "the fixed call of day 40, already paid, gone and never had one",
            {"location_call": 400_001, "mobile_call": 400_002, "fixed_call": 400_003, "kept_location_call": 400_004},
        ),
        Case(
            5,
            ("saga", "sara"),
            "Saga is preserved by an order, Sara is not; both ask for deletion and get identical answers; "
            "when the hold ends Saga's rows go",
        ),
        Case(
            6,
            ("cilla",),
            "a caller withdraws in mid-call: the tenant with a legal duty to record goes on and says why; "
            "its neighbour gets recording.stop within a second",
            {"recording_goes_on": str(KUSTBANKEN.id), "recording_stops": str(FJALLRESOR.id)},
        ),
        Case(
            7,
            ("omar",),
            "asks for his recordings: his employer decides, the operator answers its own part; both clocks visible",
            {"agent_number": OMAR.number, "recordings": 5},
        ),
        Case(
            8,
            ("lars",),
            "a letter received Saturday 30 January 2027 and typed in on 5 February is due Monday 1 March",
            {"received": "2027-01-30", "typed_in": "2027-02-05", "due": "2027-03-01"},
        ),
        Case(
            9,
            ("nadia",),
            "the chat closed 91 days ago is deleted; recording 4711 of day 12 and all its versions are gone today; "
            "its siblings live to day 30",
            {
                "chat": 900_001,
                "kept_chat": 900_002,
                "recording": "4711",
                "recording_day": 12,
                "siblings": "4710,4712",
                "versions": 2,
            },
        ),
        Case(
            10,
            ("greta",),
            "a deletion with a mailbox and a vendor pending can't close; then attested and pending until",
            {"mailbox": "kundtjanst@nordtel.example"},
        ),
        Case(
            11,
            ("hugo", "ines"),
            "an unvalidated EPOC for Hugo: traffic is AUTHORITY_NOT_COMPETENT, subscriber data starts the 10-day clock; "
            "a right holder's order for Ines's address matches only retention rows: no data",
            {"retention_only_ip": "198.51.100.14", "retention_only_call": 1_100_001, "retention_only_day": 45},
        ),
        Case(
            12,
            ("olle", "petra", "rasmus"),
            "the agreement ended 13 months ago: its data gone, accounting kept; authentication logs of day 8 gone; "
            "of the recycled number each person gets only their own period",
            {
                "ended_month": 13,
                "log_day": 8,
                "recycled_number": RECYCLED_NUMBER,
                "petra_until_month": 16,
                "rasmus_from_month": 12,
            },
        ),
    )
}
