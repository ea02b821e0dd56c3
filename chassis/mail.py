"""E-mail leaves here: one message to one person, over the operator's own SMTP server, or a clear refusal.

Nothing about a message is logged: whom it is for and what it says are personal data. There is no queue here either:
whoever sends does it from a durable job, which is tried again when the server is away.
"""

from email.message import EmailMessage

from chassis.errors import Problem
from chassis.settings import Settings

_PATIENCE = 15.0


class MailNotSetUp(Problem):
    code, status, title = (
        "mail.not_set_up",
        503,
        "No mail server is set up: set WARDLINE_SMTP_HOST and WARDLINE_SMTP_FROM",
    )


class MailRefused(Problem):
    """The server will not take this message, now or later: trying again changes nothing."""

    code, status, title = "mail.refused", 502, "The mail server refused the message"


class MailAway(Problem):
    code, status, title = "mail.away", 503, "The mail server does not answer; the message will be tried again"


class Mail:
    """Messages go out one by one, each over a connection of its own: few are sent, and none may wait for another."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def is_set_up(self) -> bool:
        return bool(self.settings.smtp_host and self.settings.smtp_from)

    async def send(self, message: EmailMessage) -> str:
        """What the server said when it took the message, which proves that it did. The sender is ours if the message names
        none. Raises MailNotSetUp, MailRefused or MailAway."""
        # Imported where it is needed: most processes never send a message.
        import aiosmtplib

        if not self.is_set_up:
            raise MailNotSetUp
        if "From" not in message:
            message["From"] = self.settings.smtp_from
        user = self.settings.smtp_user
        try:
            _, said = await aiosmtplib.send(
                message,
                hostname=self.settings.smtp_host,
                port=self.settings.smtp_port,
                start_tls=self.settings.smtp_starttls,
                username=user,
                password=self.settings.password("smtp") if user else None,
                timeout=_PATIENCE,
            )
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as refused:
            raise (MailRefused if _is_final(refused) else MailAway)() from None
        except (aiosmtplib.SMTPException, OSError):
            raise MailAway from None
        return said


def letter(to: str, subject: str, text: str, html: str | None = None) -> EmailMessage:
    """A plain message, with an HTML alternative if there is one. Raises ValueError for an address or subject with a
    line break: nobody adds headers of his own. Raises MailRefused where the address is read as another, as several or as none: it goes to
    whom it was written to, or to nobody."""
    message = EmailMessage()
    message["To"], message["Subject"] = to, subject
    if [one.addr_spec for one in message["To"].addresses] != [to]:
        raise MailRefused("It is not written to one address.")
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


def _is_final(refused: Exception) -> bool:
    """SMTP's 5xx are final, its 4xx pass by themselves; one recipient stands for all, since there is one."""
    each = getattr(refused, "recipients", None) or [refused]
    return all(500 <= getattr(one, "code", 0) < 600 for one in each)
