"""Correspondence: what we write to a person about her request, and what she writes to us. All of it is sealed."""

from chassis import clock
from chassis.db import Transaction
from chassis.ids import new_id
from services.requests.rights import queries, words
from services.requests.rights.office import Office
from services.requests.rights.tables import LetterRow, RequestRow


async def write(tx: Transaction, office: Office, row: RequestRow, template: str, **said: str) -> LetterRow:
    """One of our letters, in the request's language; `said` fills the template's places."""
    told = {"request": str(row.id), "due_on": row.due_on.isoformat(), "controller": office.book.controller.name}
    told |= {"complaint": office.book.clause("complaint").in_(row.language)}
    subject, body = words.letter(template, row.language, told | said)
    return await _keep(tx, office, row, "out", template, subject, body)


async def take(tx: Transaction, office: Office, row: RequestRow, body: str) -> LetterRow:
    """Somebody's own words, as they came."""
    return await _keep(tx, office, row, "in", "own", "", body)


async def _keep(
    tx: Transaction, office: Office, row: RequestRow, direction: str, template: str, subject: str, body: str
) -> LetterRow:
    key = await office.sealer.key_for_sealing(tx.connection, tx.tenant, queries.shelf_of(row.id))
    letter = LetterRow(
        id=new_id(),
        tenant=tx.tenant,
        request=row.id,
        direction=direction,
        template=template,
        language=row.language,
        made_at=clock.now(),
        subject=key.seal("letter", "subject", subject.encode()),
        body=key.seal("letter", "body", body.encode()),
    )
    tx.session.add(letter)
    return letter
