"""CAMARA ConsentInfo r2.3: its words for our verdicts, and its own shape of a refusal."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from services.consent import rules
from services.consent.contract import Reason, StatusInfo
from services.consent.rules import Verdict
from services.registry.contract import PolicyBook

# A statusReason for which asking her can help. As long as a no of hers is respected, none of them is told.
ASKABLE = frozenset({"PENDING", "REQUESTED", "EXPIRED"})

_REASONS = {
    Reason.no_consent: "PENDING",
    Reason.notice_does_not_cover: "PENDING",
    Reason.refused: "PENDING",
    Reason.withdrawn: "PENDING",
    Reason.revoked: "PENDING",
    Reason.invalidated: "PENDING",
    Reason.expired: "EXPIRED",
    Reason.objected: "OBJECTED",
    Reason.restricted: "OBJECTED",
}


class Refusal(Exception):
    """What ConsentInfo answers instead: {status, code, message}."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


def purpose_of(book: PolicyBook, named: str) -> str:
    """Our purpose that CAMARA's `dpv:…` means. Raises Refusal."""
    term = named.removeprefix("dpv:")
    for purpose in book.purposes:
        if (purpose.dpv or "").rpartition("#")[2] == term:
            return purpose.key
    raise _not_allowed()


def covered_by(book: PolicyBook, purpose: str, scopes: Iterable[str]) -> dict[str, str]:
    """{scope: category or element}, for scopes that mean something here for that purpose. Raises Refusal."""
    known = {row.scope: row.covers for row in book.api_scopes}
    found = {}
    for scope in scopes:
        covers = known.get(scope)
        ground = Reason.unknown_category if covers is None else rules.ground(book, purpose, covers, False)
        # What people said to one another belongs to all of them: no status of one person says that it may be processed.
        if isinstance(ground, Reason) or (ground.content and ground.basis == "consent"):
            raise _not_allowed()
        found[scope] = covers
    return found


def status(purpose: str, scope: str, verdict: Verdict, said_no: bool, asked: bool) -> StatusInfo:
    """said_no: so lately that she is not to be asked again · asked: since she answered last, if ever."""
    if verdict.allowed:
        until = rules.instant(verdict.until) if verdict.until is not None else None
        return StatusInfo(scopes=[scope], purpose=purpose, statusValidForProcessing=True, expirationDate=until)
    reason, ended = _REASONS[verdict.reason], None
    said = verdict.said
    if reason in ASKABLE and said_no:
        reason = "DENIED"
    if reason == "PENDING" and asked:
        reason = "REQUESTED"
    if reason == "EXPIRED" and said is not None and said.valid_until is not None:
        ended = rules.instant(said.valid_until)
    return StatusInfo(
        scopes=[scope], purpose=purpose, statusValidForProcessing=False, statusReason=reason, expirationDate=ended
    )


def together(found: Iterable[StatusInfo]) -> list[StatusInfo]:
    """Scopes with one status are told together."""
    told: dict[tuple, StatusInfo] = {}
    for each in found:
        alike = (each.statusValidForProcessing, each.statusReason, each.expirationDate)
        if alike in told:
            told[alike].scopes.extend(each.scopes)
        else:
            told[alike] = each
    return list(told.values())


def may_send_back_to(url: str) -> bool:
    """https, this machine's own loopback, or an app's own scheme; nothing that a browser would run or read."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if parts.fragment or parts.username is not None:
        return False
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme == "http":
        return host in ("127.0.0.1", "::1", "localhost")
    return parts.scheme not in (
        "",
        "javascript",
        "data",
        "file",
        "blob",
        "about",
        "vbscript",
        "ws",
        "wss",
        "ftp",
    ) and bool(parts.netloc or parts.path)


def _not_allowed() -> Refusal:
    return Refusal(
        403,
        "CONSENT_INFO.NOT_ALLOWED_SCOPES_PURPOSE",
        "The requested scope(s) and Purpose combination is not allowed for this API Consumer.",
    )
