"""The helpdesk's tickets, mails and chats: what people write when they want something, personal data and all.

One text stands in another's ticket: Erik mentions Anna, by name and number. Third parties have rights too.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from sample.cases import CASES, FJALLRESOR, KUSTBANKEN, OMAR, PEOPLE, PRIVATE, Person
from sample.dates import Calendar
from sample.people import DESKS, TOWNS, Crowd

Rows = dict[str, list[dict]]
INBOX = "kundtjanst@nordtel.example"
TABLES = ("ticket", "email_message", "chat", "chat_message")
FIRST_DRAWN_ID = 1_000_000
SUBJECTS = {
    "sv": ("Fråga om faktura", "Ny adress", "Byta abonnemang", "Problem med täckning"),
    "en": ("Question about my invoice", "New address", "Change of plan", "No coverage"),
}
BODIES = {
    "sv": (
        "Hej!\nJag heter {name}, personnummer {dashed}. Min faktura stämmer inte, ring mig på {national} efter kl 17.\n"
        "Hälsningar\n{name}",
        "Hej,\nvi har flyttat till {address}, {postal_code} {city}. Kundnummer {customer_number}. Svara till {email}.\n/{name}",
        "Kan ni byta mitt abonnemang? Numret är {msisdn} och jag nås på {email}.\nMvh {name}",
    ),
    "en": (
        "Hello,\nmy name is {name} and my personal number is {dashed}. Please call me on {international} about the bill.\n{name}",
        "Hi, I have moved to {address}, {postal_code} {city}; customer number {customer_number}. Reply to {email}.\n{name}",
        "Please change my plan. The number is {msisdn}, my mail is {email}.\nKind regards, {name}",
    ),
}
REPLIES = {
    "sv": "Hej {name}!\nTack, vi har noterat det på kundnummer {customer_number} och återkommer till {email}.\nNordtel kundtjänst",
    "en": "Hello {name},\nthank you, we noted it on customer number {customer_number} and will write to {email}.\nNordtel",
}
CHATS = {
    "sv": (
        "Hej, jag heter {name} och mitt nummer {national} fungerar inte",
        "Hej {name}! Vilket kundnummer har du?",
        "{customer_number}, och min e-post är {email}",
        "Tack, då ser jag {address} här. Prova att starta om telefonen.",
    ),
    "en": (
        "Hi, this is {name}, my number {international} does not work",
        "Hello {name}! Which customer number?",
        "{customer_number}, my mail is {email}",
        "Thank you, I see {address} here. Please restart the telephone.",
    ),
}


def national(msisdn: str) -> str:
    """46701740605 as it is written at home: 070-174 06 05."""
    digits = "0" + msisdn[2:]
    return f"{digits[:3]}-{digits[3:6]} {digits[6:8]} {digits[8:]}"


def international(msisdn: str) -> str:
    return f"+{msisdn[:2]} {msisdn[2:4]} {msisdn[4:7]} {msisdn[7:9]} {msisdn[9:]}"


def dashed(personnummer: str) -> str:
    """199504120001 as people write it: 950412-0001."""
    return f"{personnummer[2:8]}-{personnummer[8:]}"


def _words(person: Person) -> dict[str, str]:
    return {
        "name": person.name,
        "customer_number": person.customer_number,
        "email": person.email,
        "msisdn": person.msisdn,
        "national": national(person.msisdn),
        "international": international(person.msisdn),
        "dashed": dashed(person.personnummer),
        "address": person.address,
        "postal_code": person.postal_code,
        "city": person.city,
    }


# --- planted -----------------------------------------------------------------------------------------------------------


def planted(calendar: Calendar) -> Rows:
    rows: Rows = {table: [] for table in TABLES}
    for person in PEOPLE.values():
        _planted_ticket(rows, calendar, person)
    _mention_of_another(rows, calendar)
    for id, person, closed in (
        (int(CASES[9].facts["chat"]), PEOPLE["nadia"], calendar.day(91)),
        (int(CASES[9].facts["kept_chat"]), PEOPLE["nadia"], calendar.day(20)),
        (900_003, PEOPLE["anna"], calendar.day(25)),
        (900_004, PEOPLE["saga"], calendar.day(35)),
        (900_005, PEOPLE["sara"], calendar.day(35)),
    ):
        _chat(rows, id, PRIVATE.id, _words(person), person.language, "A1001", closed)
    _chat(rows, 900_006, OMAR.tenant.id, _words(PEOPLE["cilla"]), "sv", OMAR.number, calendar.day(14))
    return rows


def _planted_ticket(rows: Rows, calendar: Calendar, person: Person) -> None:
    """A ticket closed forty days ago with a mail and an answer; Anna's second one is still open."""
    closed = calendar.day(40)
    _ticket(
        rows, person.id, PRIVATE.id, _words(person), person.language, 0, "A1001", closed - timedelta(days=2), closed
    )
    if person.key == "anna":
        _ticket(rows, 101, PRIVATE.id, _words(person), person.language, 1, "A1002", calendar.day(5), None)


def _mention_of_another(rows: Rows, calendar: Calendar) -> None:
    erik, anna = PEOPLE["erik"], PEOPLE["anna"]
    rows["email_message"].append(
        {
            "id": 9_001,
            "tenant": str(PRIVATE.id),
            "ticket": erik.id,
            "from_address": erik.email,
            "to_address": INBOX,
            "subject": "Re: Fråga om faktura",
            "body": f"Hej igen,\nsamtalen i september var till min kollega {anna.name}, {national(anna.msisdn)}.\n{erik.name}",
            "sent_at": calendar.day(41, hour=15),
        }
    )


def _ticket(
    rows: Rows,
    id: int,
    tenant: object,
    words: dict,
    language: str,
    kind: int,
    agent: str,
    created: datetime,
    closed: datetime | None,
) -> None:
    subject = SUBJECTS[language][kind]
    body = BODIES[language][kind % len(BODIES[language])].format(**words)
    rows["ticket"].append(
        {
            "id": id,
            "tenant": str(tenant),
            "customer_number": words["customer_number"],
            "requester_name": words["name"],
            "requester_email": words["email"],
            "requester_phone": words["msisdn"],
            "agent_number": agent,
            "subject": subject,
            "body": body,
            "language": language,
            "created_at": created,
            "closed_at": closed,
        }
    )
    mails = ((words["email"], INBOX, subject, body), (INBOX, words["email"], f"Re: {subject}", None))
    for n, (sender, recipient, title, text) in enumerate(mails):
        rows["email_message"].append(
            {
                "id": id * 10 + n,
                "tenant": str(tenant),
                "ticket": id,
                "from_address": sender,
                "to_address": recipient,
                "subject": title,
                "body": text or REPLIES[language].format(**words),
                "sent_at": created + timedelta(hours=n * 3),
            }
        )


def _chat(rows: Rows, id: int, tenant: object, words: dict, language: str, agent: str, closed: datetime | None) -> None:
    started = (closed or datetime.min) - timedelta(minutes=20)
    rows["chat"].append(
        {
            "id": id,
            "tenant": str(tenant),
            "customer_number": words["customer_number"],
            "visitor_name": words["name"],
            "visitor_email": words["email"],
            "agent_number": agent,
            "language": language,
            "started_at": started,
            "closed_at": closed,
        }
    )
    for n, line in enumerate(CHATS[language]):
        rows["chat_message"].append(
            {
                "id": id * 10 + n,
                "tenant": str(tenant),
                "chat": id,
                "author": "agent" if n % 2 else "visitor",
                "body": line.format(**words),
                "sent_at": started + timedelta(minutes=4 * n),
            }
        )


# --- drawn -------------------------------------------------------------------------------------------------------------


def drawn(seed: int, calendar: Calendar, people: Crowd) -> Rows:
    """A ticket for every fifth subscriber and a chat for every eighth, closed in the last 120 days; some are still open."""
    rng = np.random.default_rng([seed, 5])
    rows: Rows = {table: [] for table in TABLES}
    size = len(people.ids)
    tenants = (PRIVATE, PRIVATE, PRIVATE, KUSTBANKEN, FJALLRESOR)
    desks = {t: [d.number for d in DESKS if d.tenant == t] for t in tenants}
    for id, who, open_, age, tenant, desk in _draws(rng, size // 5, size):
        at, where = calendar.day(age), tenants[tenant]
        agent, language = desks[where][desk % len(desks[where])], "en" if people.english[who] else "sv"
        _ticket(
            rows,
            FIRST_DRAWN_ID + id,
            where.id,
            _crowd_words(people, who),
            language,
            id % 3,
            agent,
            at - timedelta(days=3),
            None if open_ else at,
        )
    for id, who, _, age, tenant, desk in _draws(rng, size // 8, size):
        where = tenants[tenant]
        agent, language = desks[where][desk % len(desks[where])], "en" if people.english[who] else "sv"
        _chat(rows, FIRST_DRAWN_ID + id, where.id, _crowd_words(people, who), language, agent, calendar.day(age))
    return rows


def _draws(rng: np.random.Generator, count: int, people: int) -> Iterator[tuple[int, int, bool, int, int, int]]:
    columns = (
        rng.integers(people, size=count),
        rng.random(count) < 0.1,
        rng.integers(1, 120, size=count),
        rng.integers(5, size=count),
        rng.integers(100, size=count),
    )
    yield from zip(range(count), *(c.tolist() for c in columns), strict=True)


def _crowd_words(people: Crowd, i: int) -> dict[str, str]:
    postal_code, city, _ = TOWNS[people.towns[i]]
    msisdn = str(people.msisdn[i])
    return {
        "name": people.names[i],
        "customer_number": people.customer_number(i),
        "email": people.email(i),
        "msisdn": msisdn,
        "national": national(msisdn),
        "international": international(msisdn),
        "dashed": dashed(people.personnummer[i]),
        "address": people.streets[i],
        "postal_code": postal_code,
        "city": city,
    }
