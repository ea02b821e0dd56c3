"""Text messages leave here: one POST to whichever provider the operator has, or a clear refusal.

The provider's side is a few lines of its own: `POST SMS_URL` {"to": E.164 digits with +, "text", "from"}, a bearer token
from the file `sms.token`, and an Idempotency-Key, so that a message sent twice arrives once.
"""

import httpx2

from chassis import strangers
from chassis.errors import Problem
from chassis.settings import Settings

_PATIENCE = 10  # seconds


class SmsNotSetUp(Problem):
    code, status, title = "sms.not_set_up", 503, "No SMS provider is set up: set WARDLINE_SMS_URL"


class SmsRefused(Problem):
    """The provider will not take this message: trying again changes nothing."""

    code, status, title = "sms.refused", 502, "The SMS provider refused the message"


class SmsAway(Problem):
    code, status, title = "sms.away", 503, "The SMS provider does not answer; the message will be tried again"


class Sms:
    def __init__(self, settings: Settings, http: httpx2.AsyncClient) -> None:
        self.settings, self.http = settings, http

    async def send(self, to: str, text: str, key: str) -> None:
        """`to`: E.164 digits. Raises SmsNotSetUp, SmsRefused or SmsAway."""
        if not self.settings.sms_url:
            raise SmsNotSetUp
        token = self.settings.secret("sms.token").decode().strip()
        message = {"to": f"+{to.removeprefix('+')}", "text": text, "from": self.settings.sms_from}
        headers = {"authorization": f"Bearer {token}", "idempotency-key": key}
        how = {"json": message, "headers": headers}
        try:
            async with strangers.asking(self.http, "POST", self.settings.sms_url, _PATIENCE, **how) as answer:
                status = answer.status_code
        except (httpx2.HTTPError, TimeoutError):
            raise SmsAway from None
        if status in (429, 500, 502, 503, 504):
            raise SmsAway
        if status >= 300:
            raise SmsRefused
