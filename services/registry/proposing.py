"""A changed policy book from the command line: `python -m services.registry.proposing propose FILE --reason … --edge URL --issuer URL`.

It speaks to the internal edge as the person who logs in: she opens the address it prints, and pastes the one her browser ends at.
`--token FILE` takes an access token from elsewhere instead (`-`: standard input). `list`, `show`, `approve` and `reject` go on from there;
whoever approves is somebody else than the author, and sees every difference and count before she is asked.
"""

import argparse
import hashlib
import secrets
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import httpx2

from services.registry.contract import LANGUAGES, Consequence, Proposal, Proposals

_PROPOSALS = "/v1/policy/proposals"
_LOOK_AGAIN, _PATIENCE = 0.5, 120.0
_STATES = {
    "checking": "its consequences are being counted",
    "proposed": "waits for somebody else's approval",
    "approved": "approved",
    "rejected": "rejected",
    "refused": "refused: the stores hold what it does not know",
}

Ask = Callable[[str], str]


class NotDone(Exception):
    """What a person reads instead of a result."""


class Desk:
    """The internal edge, as one person sees it."""

    def __init__(self, http: httpx2.Client, edge: str, token: str) -> None:
        self.http, self.edge = http, edge.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"}

    def propose(self, file: str, reason: str, correction: bool) -> Proposal:
        wish = {"file": file, "reason": reason, "correction": correction}
        return self.counted(Proposal.model_validate_json(self._send("POST", _PROPOSALS, wish)))

    def read(self, proposal: str) -> Proposal:
        return Proposal.model_validate_json(self._send("GET", f"{_PROPOSALS}/{proposal}"))

    def newest(self) -> list[Proposal]:
        return Proposals.model_validate_json(self._send("GET", _PROPOSALS)).items

    def counted(self, made: Proposal) -> Proposal:
        """As it stands when the stores were asked. Raises NotDone when they take too long; it is proposed all the same."""
        deadline = time.monotonic() + _PATIENCE
        while made.state == "checking":
            if time.monotonic() > deadline:
                raise NotDone(
                    f"Proposal {made.proposal} is recorded; its consequences are still being counted: show it later."
                )
            time.sleep(_LOOK_AGAIN)
            made = self.read(str(made.proposal))
        return made

    def approve(self, shown: Proposal) -> Proposal:
        """Exactly what was shown."""
        if shown.simulated_at is None:
            raise NotDone("Its consequences are not known yet.")
        seen = {"sha256": shown.sha256, "seen": shown.simulated_at.isoformat()}
        return Proposal.model_validate_json(self._send("POST", f"{_PROPOSALS}/{shown.proposal}/approval", seen))

    def reject(self, proposal: str, reason: str) -> Proposal:
        return Proposal.model_validate_json(
            self._send("POST", f"{_PROPOSALS}/{proposal}/rejection", {"reason": reason})
        )

    def _send(self, method: str, path: str, body: Any = None) -> bytes:
        headers = self._headers | ({"idempotency-key": str(uuid4())} if method != "GET" else {})
        answer = self.http.request(method, self.edge + path, json=body, headers=headers)
        if answer.status_code >= 400:
            raise NotDone("\n".join(_problem(answer)))
        return answer.content


def log_in(http: httpx2.Client, issuer: str, client: str, redirect: str, ask: Ask = input) -> str:
    """An access token for the internal edge by authorization code and PKCE: the password is typed into the issuer's own page only."""
    issuer, verifier, state = issuer.rstrip("/"), secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": redirect,
        "resource": "internal",
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    came_back = ask(
        f"Log in here:\n{issuer}/authorize?{urlencode(asked)}\nand paste the address your browser ends at: "
    )
    said = parse_qs(urlsplit(came_back.strip()).query)
    if said.get("state") != [state] or "code" not in said:
        raise NotDone("That address is not the end of this login.")
    form = {"grant_type": "authorization_code", "client_id": client, "redirect_uri": redirect}
    answer = http.post(f"{issuer}/token", data=form | {"code": said["code"][0], "code_verifier": verifier})
    if answer.status_code != 200:
        raise NotDone("The issuer gave no token for this login.")
    return answer.json()["access_token"]


def told(proposal: Proposal, language: str) -> Iterator[str]:
    """Everything somebody who decides has to read."""
    yield f"Proposal {proposal.proposal}: version {proposal.version}, in force from {proposal.valid_from}; {_STATES[proposal.state]}."
    yield f"By {proposal.author} on {proposal.made_at:%Y-%m-%d %H:%M} UTC, against version {proposal.base}. Why: {proposal.reason}"
    if proposal.correction:
        yield "It corrects what was in force before; what was exported stays as it was."
    yield f"\n{len(proposal.differences)} difference(s):"
    yield from (f"  {one.words.in_('sv' if language == 'sv' else 'en')}" for one in proposal.differences)
    if proposal.problem:
        yield f"\n{proposal.problem}"
    if proposal.consequences is not None:
        yield f"\nIn the stores, counted {proposal.simulated_at:%Y-%m-%d %H:%M} UTC:"
        yield from (f"  {_counted(one)}" for one in proposal.consequences)
        if not proposal.consequences:
            yield "  no record meets another fate."
    if proposal.decided_by:
        why = f": {proposal.decision}" if proposal.decision else ""
        yield f"\nDecided by {proposal.decided_by} on {proposal.decided_at:%Y-%m-%d %H:%M} UTC{why}."


def _counted(one: Consequence) -> str:
    fates = [f"{fate.action} ({fate.rule})" if fate.rule else fate.action for fate in (one.before, one.after)]
    return f"{one.count:>9,} of {one.store}.{one.table}, {one.element}: {fates[0]} → {fates[1]}"


def _problem(answer: httpx2.Response) -> Iterator[str]:
    try:
        said = answer.json()
    except ValueError:
        said = {}
    yield f"{answer.status_code} {said.get('code', '')} {said.get('title', '')}".strip()
    if said.get("detail"):
        yield said["detail"]
    yield from (f"  {fault.get('path')}: {fault.get('problem')}" for fault in said.get("errors", []))


def run(desk: Desk, wish: argparse.Namespace, ask: Ask = input, say: Callable[[str], object] = print) -> None:
    """One verb. Raises NotDone."""

    def show(proposal: Proposal) -> None:
        for line in told(proposal, wish.language):
            say(line)

    match wish.verb:
        case "propose":
            show(desk.propose(wish.file.read_text(encoding="utf-8"), wish.reason, wish.correction))
        case "list":
            for one in desk.newest():
                say(f"{one.proposal}  {one.version:<10} from {one.valid_from}  {_STATES[one.state]}")
        case "show":
            show(desk.read(wish.proposal))
        case "approve":
            shown = desk.read(wish.proposal)
            show(shown)
            if ask(f"\nTo put version {shown.version} in force, write it here: ").strip() != shown.version:
                raise NotDone("Nothing was approved.")
            say(f"{desk.approve(shown).version} is signed, and in force from its first day.")
        case "reject":
            show(desk.reject(wish.proposal, wish.reason))


def arguments(given: list[str]) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--edge", required=True, help="URL of the internal edge")
    common.add_argument("--issuer", required=True, help="URL of the public edge, where people log in")
    common.add_argument("--client", default="staff", help="the OAuth client that staff log in by")
    common.add_argument("--redirect", default="http://127.0.0.1/callback", help="as registered for that client")
    common.add_argument(
        "--token", type=Path, help="a file with an access token, instead of logging in; - reads standard input"
    )
    common.add_argument("--language", choices=LANGUAGES, default="sv")
    parser = argparse.ArgumentParser(
        prog="python -m services.registry.proposing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    propose = verbs.add_parser("propose", parents=[common], help="a changed file becomes a proposed version")
    propose.add_argument("file", type=Path)
    propose.add_argument("--reason", required=True, help="why, for whoever approves")
    propose.add_argument("--correction", action="store_true", help="the book begins before today")
    verbs.add_parser("list", parents=[common], help="the newest proposals")
    for verb, help in (
        ("show", "one with all it would change"),
        ("approve", "somebody else's"),
        ("reject", "or withdraw"),
    ):
        verbs.add_parser(verb, parents=[common], help=help).add_argument("proposal")
    verbs.choices["reject"].add_argument("--reason", required=True)
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    wish = arguments(sys.argv[1:] if given is None else given)
    with httpx2.Client(timeout=60, trust_env=False) as http:
        try:
            run(Desk(http, wish.edge, _token(http, wish)), wish)
        except (NotDone, OSError, httpx2.HTTPError) as reason:
            print(reason, file=sys.stderr)
            return 1
    return 0


def _token(http: httpx2.Client, wish: argparse.Namespace) -> str:
    if wish.token is None:
        return log_in(http, wish.issuer, wish.client, wish.redirect)
    return (sys.stdin.read() if str(wish.token) == "-" else wish.token.read_text()).strip()


if __name__ == "__main__":
    sys.exit(main())
