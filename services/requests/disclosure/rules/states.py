"""The states of TS 103 120, as tables: what is not in a table does not happen."""

from services.requests.disclosure.contract import DeliveryStatus, StateForbidden, TaskKind
from services.requests.disclosure.contract import TaskStatus as S

_LD = {
    (S.AwaitingApproval, "approve"): S.AwaitingDisclosure,
    (S.AwaitingDisclosure, "disclose"): S.Disclosed,
    (S.AwaitingDisclosure, "find_nothing"): S.DisclosureNotAvailable,
    **{
        (waiting, event): ended
        for waiting in (S.AwaitingApproval, S.AwaitingDisclosure)
        for event, ended in (("reject", S.Rejected), ("cancel", S.Cancelled), ("fail", S.Error), ("void", S.Invalid))
    },
}
_LP = {
    (S.AwaitingPreservation, "approve"): S.Preserved,
    (S.AwaitingPreservation, "find_nothing"): S.PreservationNotAvailable,
    (S.AwaitingPreservation, "reject"): S.Rejected,
    # TS 103 120 has no way from AwaitingPreservation to Cancelled: what is withdrawn before was never preserved.
    (S.AwaitingPreservation, "cancel"): S.Rejected,
    (S.AwaitingPreservation, "expire"): S.PreservationNotAvailable,
    (S.Preserved, "extend"): S.Preserved,
    (S.Preserved, "expire"): S.Expired,
    (S.Preserved, "cancel"): S.Cancelled,
}
MACHINES = {TaskKind.LD: _LD, TaskKind.LP: _LP}
FIRST = {TaskKind.LD: S.AwaitingApproval, TaskKind.LP: S.AwaitingPreservation}

STAGES = {
    ("approved", "count"): "counting",
    ("counting", "stop"): "stopped",
    ("counting", "collect"): "collecting",
    ("stopped", "collect"): "collecting",
    ("collecting", "stop"): "stopped",
    ("collecting", "seal"): "sealed",
    ("sealed", "release"): "released",
}

DELIVERIES = {
    (DeliveryStatus.Available, "Acknowledged"): DeliveryStatus.Acknowledged,
    (DeliveryStatus.Acknowledged, "Received"): DeliveryStatus.Received,
}


def moved(kind: TaskKind, status: S, event: str) -> S:
    """The status that follows. Raises StateForbidden."""
    return _next(MACHINES[kind], status, event)


def stage_after(stage: str | None, event: str) -> str:
    return _next(STAGES, stage, event)


def delivery_after(status: DeliveryStatus, event: str) -> DeliveryStatus:
    return _next(DELIVERIES, status, event)


def ends(kind: TaskKind, status: S) -> bool:
    """Whether nothing follows."""
    return all(start != status for start, _ in MACHINES[kind])


def _next(table, state, event):
    if (state, event) not in table:
        raise StateForbidden(f"{event} is not possible in the state {state}.")
    return table[state, event]
