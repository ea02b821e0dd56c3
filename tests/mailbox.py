"""A real SMTP server on this machine that keeps what it takes."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy

from aiosmtpd.controller import Controller


class Mailbox:
    """`taken`: the envelopes · `answer`: what is said to a recipient · `refused`: how often no · `down`: nobody is there."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.taken: list = []
        self.answer = "250 OK"
        self.refused = 0

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        else:
            self.refused += 1
        return self.answer

    async def handle_DATA(self, _server, _session, envelope):
        self.taken.append(envelope)
        return "250 Taken"

    def texts(self, to: str) -> list[str]:
        """What was written to somebody, oldest first."""
        parsed = [message_from_bytes(each.content, policy=policy.default) for each in self.taken if to in each.rcpt_tos]
        return [message.get_body(("plain",)).get_content() for message in parsed]


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        box = Mailbox(free.getsockname()[1])
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
