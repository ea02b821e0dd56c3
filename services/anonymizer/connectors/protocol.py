"""What a connector can do. One per kind of store; the rest of the anonymizer knows only this."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol
from uuid import UUID

from services.anonymizer.connectors.guard import Guard
from services.anonymizer.connectors.outcomes import Effect, Piece, Verification
from services.anonymizer.contract import (
    Change,
    Correction,
    DisclosureRequest,
    Expected,
    IdentifierType,
    Outcome,
    Scope,
    StoreVerb,
    Verb,
)
from services.anonymizer.datamap import Store
from services.anonymizer.rules.facts import Terms
from services.anonymizer.rules.joins import Sighting
from services.anonymizer.rules.person import Known, Person
from services.anonymizer.text.vocabularies import KnownPeople
from services.registry.contract import PolicyBook


class Connector(Protocol):
    """Everything raises StoreUnavailable when the store does not answer; then nothing was done, and it may be asked again.

    `step` makes an effect happen once: the store itself remembers it, and answers a repeat with what was done.
    """

    store: Store
    verbs: frozenset[StoreVerb]

    def collect(self, people: Sequence[Person], book: PolicyBook, portable: bool) -> AsyncGenerator[bytes]:
        """In one scan, however many they are. Of several, each row begins with the place of its person."""
        ...

    def disclose(
        self, known: Known, person: Person, wish: DisclosureRequest, book: PolicyBook
    ) -> AsyncGenerator[bytes]: ...

    async def invoices(self, person: Person) -> set[int]:
        """The invoices that the person's rows name; whether they are paid is billing's to say."""
        ...

    async def preview(
        self,
        person: Person,
        terms: Terms,
        scope: Scope | None,
        of: Verb = Verb.erase,
        changes: Sequence[Correction] = (),
    ) -> list[Outcome]:
        """What the verb `of` would do now: its dry run, with counts."""
        ...

    async def erase(self, step: UUID, person: Person, terms: Terms, guard: Guard, scope: Scope | None) -> Effect: ...

    async def correct(self, step: UUID, person: Person, terms: Terms, changes: list[Correction]) -> Effect:
        """In the person's own rows that say exactly what is wrong. Raises CorrectionRefused."""
        ...

    async def freeze(self, step: UUID, person: Person, terms: Terms) -> Effect:
        """Their own rows, as they are now, are restricted: nothing erases, redacts or sweeps them until `unfreeze`."""
        ...

    async def unfreeze(self, step: UUID, person: Person, terms: Terms) -> Effect: ...

    async def verify(self, person: Person, terms: Terms, scope: Scope | None) -> Verification: ...

    async def simulate(self, terms: Terms) -> list[Expected]: ...

    async def compare(self, terms: Terms, proposed: Terms) -> list[Change]:
        """The records that a sweep would treat differently under the proposed terms."""
        ...

    def sweep(self, sweep: UUID, terms: Terms, guard: Guard, known: KnownPeople) -> AsyncIterator[Piece]:
        """`known`: whom texts are cleaned of."""
        ...

    async def held_for(self, tenant: UUID, book: PolicyBook) -> int:
        """How many records of its tables are processed for this organisation, seen by the credential that only reads."""
        ...

    def give_back(self, tenant: UUID, book: PolicyBook) -> AsyncGenerator[bytes]:
        """All of those, every column and every sound, as lines."""
        ...

    async def release(self, hold: UUID) -> int:
        """Finish the erasure that the hold deferred; how many preserved rows went."""
        ...

    async def discover(self) -> dict[str, dict[str, list[str]]]:
        """table → column → some values: what the store has, whatever the map says, by the credential that only reads."""
        ...

    async def remembers(self, steps: set[UUID]) -> set[UUID]:
        """Those of these finished steps that the store itself knows of; the rest it forgot, since it came back from a backup."""
        ...

    def values(self) -> AsyncIterator[tuple[IdentifierType, str]]:
        """Every value in a column that identifies somebody, in the one spelling of its type."""
        ...

    async def sightings(self, tenant: UUID, values: set[str]) -> list[Sighting]:
        """Where the map declares `one_person`: the records in which one of these values stands together with others."""
        ...

    async def close(self) -> None: ...
