"""What leaves the house for a person: a code to her telephone or mailbox, a letter to her mailbox."""

from dataclasses import dataclass

from chassis import identifiers
from chassis.mail import Mail, letter
from chassis.sms import Sms
from services.anonymizer.contract import Identifier, IdentifierType
from services.registry.contract import PolicyBook
from services.requests.rights import words
from services.requests.rights.commands.letters import Mailing
from services.requests.rights.commands.proving import ToSend


@dataclass(frozen=True)
class Post:
    mail: Mail
    sms: Sms

    async def letter(self, mailing: Mailing) -> None:
        """Under its own id, by which a mail server knows the same letter again. Raises what mail raises."""
        [contact] = mailing.to.identifiers
        message = letter(_address(contact), mailing.subject, mailing.body)
        message["Message-ID"] = f"<{mailing.letter}@{self.mail.settings.smtp_from.rpartition('@')[2]}>"
        await self.mail.send(message)

    async def code(self, wanted: ToSend, code: str, book: PolicyBook) -> None:
        """Raises what mail and sms raise; nobody who asked for the code is told."""
        [contact] = wanted.contact.identifiers
        subject, body = words.letter("code", wanted.language, {"code": code, "controller": book.controller.name})
        if contact.type is IdentifierType.email:
            await self.mail.send(letter(_address(contact), subject, body))
        else:
            await self.sms.send(_address(contact), f"{subject}: {code}", str(wanted.code))


def _address(contact: Identifier) -> str:
    """As it was looked up, however it was spelled: nothing goes to another address than the one that was found on file."""
    return identifiers.normalise(contact.type, contact.value)
