"""The helpdesk's system in Zendesk's dialect: what a ticket asks for, and what it is told of its request."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from chassis import identifiers
from services.anonymizer.contract import Identifier, IdentifierType
from services.registry.contract import Language, Text
from services.requests.rights.contract import Kind, PostTicket, State, TagMissing, ZendeskPost

PREFIX = "zendesk-"
_TAG = "gdpr_"
# What needs more than words (a purpose, what is wrong) is asked for in the portal or typed in by staff.
_BY_TICKET = {
    f"{_TAG}{kind}": kind
    for kind in (Kind.access, Kind.deletion, Kind.portability, Kind.damages, Kind.human_review, Kind.complaint)
}
_SOLVED = {State.answered, State.closed, State.withdrawn, State.duplicate}
_PENDING = {State.clarification, State.previewed, State.cooling_off, State.awaiting_passphrase, State.awaiting_fee}
_TOLD = {
    State.received: Text(sv="mottagen, vi vet inte än vem som frågar", en="received, we do not know yet who asks"),
    State.clarification: Text(sv="vi behöver veta mer", en="we need to know more"),
    State.identified: Text(sv="vi vet vem som frågar", en="we know who asks"),
    State.previewed: Text(sv="väntar på personens bekräftelse", en="waits for the person's confirmation"),
    State.cooling_off: Text(sv="bekräftad, kan ännu ångras", en="confirmed, may still be withdrawn"),
    State.deciding: Text(sv="avgörs av en människa", en="a person decides"),
    State.executing: Text(sv="utförs", en="being carried out"),
    State.checking: Text(sv="kontrolleras", en="being checked"),
    State.awaiting_passphrase: Text(sv="väntar på personens lösenfras", en="waits for the person's passphrase"),
    State.printing: Text(sv="skrivs ut och skickas med posten", en="is printed and posted"),
    State.awaiting_fee: Text(sv="väntar på att avgiften betalas", en="waits for the fee to be paid"),
    State.transferring: Text(sv="på väg till en annan operatör", en="on its way to another operator"),
    State.packing: Text(sv="paketeras", en="being packed"),
    State.answered: Text(sv="besvarad", en="answered"),
    State.lifting: Text(sv="upphör", en="being lifted"),
    State.closed: Text(sv="avslutad", en="closed"),
    State.withdrawn: Text(sv="återtagen", en="withdrawn"),
    State.duplicate: Text(
        sv="samma sak begärs redan i ett annat ärende", en="the same is asked already in another request"
    ),
}

_ASKED = Text(sv="Personen är tillfrågad.", en="The person was asked.")
_DUE = Text(sv="Svar senast {day}.", en="Answer due {day}.")


def read(post: ZendeskPost) -> PostTicket:
    """A ticket as a request. Raises TagMissing unless exactly one tag says which right."""
    ticket = post.ticket
    kinds = [_BY_TICKET[tag] for tag in ticket.tags if tag in _BY_TICKET]
    if len(kinds) != 1:
        raise TagMissing(tags=sorted(_BY_TICKET))
    requester = ticket.requester
    who = [Identifier(type=IdentifierType.email, value=requester.email)] if requester.email else []
    if requester.phone and (not who or _is_number(requester.phone)):
        who.append(Identifier(type=IdentifierType.msisdn, value=requester.phone))
    return PostTicket(
        ticket=f"{PREFIX}{ticket.id}",
        kind=kinds[0],
        language="en" if "lang_en" in ticket.tags else "sv",
        received_at=ticket.created_at,
        identifiers=who,
        text=f"{ticket.subject}\n\n{ticket.description}"[:10_000],
    )


def is_its_own(ticket: str) -> bool:
    """Whether it is a ticket of Zendesk's. What another system calls so and is no number is none, and would lead elsewhere there."""
    return re.fullmatch(rf"{PREFIX}[1-9][0-9]*", ticket) is not None


def _is_number(phone: str) -> bool:
    """People write there what they like, and her address says who she is as well, if there is one. In which country it would be a number is not asked."""
    try:
        identifiers.normalise(IdentifierType.msisdn, phone, country="1")
    except identifiers.BadIdentifier:
        return False
    return True


@dataclass(frozen=True)
class Stands:
    """Where a request stands, as its ticket is told. due_on: None while its clock stands still · asked: the person, who has not answered."""

    state: State
    due_on: date | None
    asked: bool

    def __str__(self) -> str:
        return self.state if self.state in _SOLVED else f"{self.state} {self.due_on}{' asked' * self.asked}"


def update(request: str, stands: Stands, language: Language) -> dict[str, Any]:
    """The body of `PUT /api/v2/tickets/{id}.json`: an internal note, which says nothing about the person."""
    state, said = stands.state, [f"Wardline {request}: {_TOLD[stands.state].in_(language)}."]
    if state not in _SOLVED and stands.asked:
        said.append(_ASKED.in_(language))
    if state not in _SOLVED and stands.due_on:
        said.append(_DUE.in_(language).format(day=stands.due_on))
    status = "solved" if state in _SOLVED else "pending" if state in _PENDING or stands.asked else "open"
    return {"ticket": {"status": status, "comment": {"body": " ".join(said), "public": False}}}
