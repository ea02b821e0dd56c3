"""What becomes of each right: what is done first, who decides what no rule can, and what a rule refuses. Facts in."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol, TypeVar
from uuid import UUID

from services.registry.contract import PolicyBook
from services.requests.rights.contract import Channel, Kind, Matter, State, Verdict

# The consent service, seen as one more place where something is done: a person's standing.
STANDING = "standing"
# The data plane's own knowledge of who somebody is.
PEOPLE = "people"


@dataclass(frozen=True)
class Way:
    """`standing`: what consent is told at once · `verb`: what is done in the stores · `matter`: what a person decides, and
    `when`: before anything is done, or while processing stands still."""

    standing: str | None = None
    verb: str | None = None
    matter: Matter | None = None
    when: Literal["before", "after"] | None = None


WAYS = {
    Kind.access: Way(verb="collect"),
    Kind.portability: Way(verb="collect"),
    Kind.deletion: Way(verb="preview"),
    Kind.correction: Way(verb="correct", matter=Matter.correct, when="before"),
    Kind.objection: Way(standing="object", matter=Matter.weigh, when="after"),
    Kind.restriction: Way(standing="restrict", verb="freeze", matter=Matter.investigate, when="after"),
    Kind.withdrawal: Way(standing="withdraw"),
    Kind.damages: Way(matter=Matter.decide, when="before"),
    Kind.human_review: Way(matter=Matter.decide, when="before"),
    Kind.complaint: Way(matter=Matter.decide, when="before"),
}
# Art. 12(5): only for these may a fee be asked.
CHARGEABLE = frozenset({"manifestly_unfounded", "excessive"})
PACKED = frozenset({Kind.access, Kind.portability})
# A package opens by the words of whoever asked for it: hers is of no use to who acts for her, nor theirs to her. And what stands still
# until somebody takes it back stands by each alone: by hers as well when theirs is taken back.
_EACH_THEIR_OWN = PACKED | {Kind.objection, Kind.restriction}
# What is looked for first, and handed over or shown before anything is carried out.
COLLECTS = PACKED | {Kind.deletion}
# What is done in stores has a part for whoever else is controller of some of them.
PARTED = frozenset({Kind.access, Kind.portability, Kind.deletion, Kind.correction, Kind.restriction})
# What these ask for stands in the person's own words: another claim, or another correction, is another request.
WORDED = {
    Kind.correction: "changes",
    Kind.damages: "said",
    Kind.human_review: "said",
    Kind.complaint: "said",
}
VERDICTS = {
    Matter.correct: frozenset({Verdict.granted, Verdict.refused}),
    Matter.weigh: frozenset({Verdict.granted, Verdict.overruled}),
    Matter.investigate: frozenset({Verdict.stays, Verdict.lifted}),
    Matter.decide: frozenset({Verdict.granted, Verdict.partly, Verdict.refused}),
    Matter.refuse: frozenset({Verdict.refused}),
    Matter.charge: frozenset({Verdict.charged}),
    Matter.controller: frozenset({Verdict.granted, Verdict.refused}),
}
OPEN = frozenset(State) - {State.answered, State.closed, State.withdrawn, State.duplicate}


class Facts(Protocol):
    """What the rules see of a request's row."""

    id: UUID
    kind: str
    state: str
    due_on: date
    party: str
    purpose: str | None
    ground: str | None
    recording: str | None
    elements: list[str] | None
    transfer_to: str | None
    agent: UUID | None
    channel: str
    outcome: str | None
    executes_at: datetime | None


Asked = TypeVar("Asked", bound=Facts)


def eyes_of(book: PolicyBook, kind: str, matter: Matter) -> int:
    """How many people it takes. A refusal of what a rule would grant always takes two; what a tenant decides about its own
    data is its own affair."""
    if matter is Matter.controller:
        return 1
    if matter in (Matter.refuse, Matter.charge):
        return 2
    return 1 if book.right(kind).decided_by == "person" else 2


def decided_before(row: Facts) -> Matter | None:
    """What a person decides before anything is done; another controller's data wait for its word."""
    if row.party == "tenant":
        return Matter.controller
    how = WAYS[Kind(row.kind)]
    return how.matter if how.when == "before" else None


def is_investigated(book: PolicyBook, ground: str | None) -> bool:
    return any(row.key == ground and row.investigated for row in book.right(Kind.restriction).grounds)


def refusal(book: PolicyBook, row: Facts, others: Iterable[Facts]) -> str | None:
    """The reason by which a rule refuses, without anybody's judgement; None: it goes its way."""
    if row.kind == Kind.withdrawal and not any(b.basis == "consent" for b in book.bases if b.purpose == row.purpose):
        return "not_on_consent"
    if row.kind == Kind.objection and _right_to_object(book, row.purpose) == "none":
        return "no_right_to_object"
    # What a withdrawn consent sets off waits in the stores instead: frozen rows are kept and looked at again each day.
    by_herself = row.channel != Channel.consent
    # One recording goes at once; anything else is held back once its hour comes.
    stands_against = holds_back_erasing if row.recording else is_in_force
    if row.kind == Kind.deletion and by_herself and any(map(stands_against, others)):
        return "restricted"
    return None


def is_always_granted(book: PolicyBook, purpose: str | None) -> bool:
    """Art. 21(2)–(3): an objection to direct marketing is weighed against nothing."""
    return _right_to_object(book, purpose) == "absolute"


def _right_to_object(book: PolicyBook, purpose: str | None) -> str:
    """To what the book knows no more, nothing is done any more, and nobody need object."""
    return next((one.objection for one in book.purposes if one.key == purpose), "none")


def verdicts(book: PolicyBook, matter: Matter, purpose: str | None) -> frozenset[Verdict]:
    """As the book says now, also of what was proposed before it changed."""
    overruled = frozenset({Verdict.overruled}) if is_always_granted(book, purpose) else frozenset()
    return VERDICTS[matter] - overruled


def _what(row: Facts) -> tuple[object, ...]:
    # A restriction on another ground is another one: the first may be lifted, and the second stays.
    ground = row.ground if row.kind == Kind.restriction else None
    agent = row.agent if row.kind in _EACH_THEIR_OWN else None
    return row.kind, row.party, row.purpose, ground, row.recording, row.elements, row.transfer_to, agent


def is_in_force(row: Facts) -> bool:
    """Whether this is a restriction that holds now: one that was refused is answered as well, and holds nothing."""
    holds = row.state in (State.executing, State.answered, State.lifting) and row.outcome != Verdict.refused
    return row.kind == Kind.restriction and holds


def is_ending(row: Facts) -> bool:
    """Whether what stood still for it is about to go on: nobody has it by this any more who asks for it now."""
    return row.state == State.lifting or (is_in_force(row) and row.executes_at is not None)


def holds_back_erasing(row: Facts) -> bool:
    """A restriction that holds, and one that was asked for and waits for whatever it may be: she is not to lose by that what she asked to
    keep."""
    return row.kind == Kind.restriction and is_unfinished(row)


def is_to_be_had_first(row: Facts, deletion: Facts, today: date) -> bool:
    """Whether this is a copy of her data that some store still owes: what is erased nobody gives her any more. One that is overdue is
    waited for no longer, and no deletion waits beyond its own last day."""
    return row.kind in PACKED and row.state == State.identified and today < min(row.due_on, deletion.due_on)


def is_held_by(row: Facts, party: str) -> bool:
    """Whether this keeps data of that controller frozen, and is not about to end."""
    return is_in_force(row) and row.state != State.lifting and row.party == party


def is_unfinished(row: Facts) -> bool:
    """Whether this request still needs to know whose data are whose."""
    return row.state in OPEN or is_in_force(row)


def asked_already(row: Facts, others: Iterable[Asked], begun: Container[UUID]) -> list[Asked]:
    """The open requests that ask the same, unless they do so in other words: those that came before, and those that are begun, since of
    two that come at once the later may be seen first, and who sent a ticket may be known long after it."""
    return [
        other
        for other in others
        if _what(other) == _what(row)
        and (other.id < row.id or other.id in begun)
        and (other.state in OPEN or is_in_force(other))
        and not is_ending(other)
    ]
