"""A connection of a process that listens: uvicorn's, with bounds on what a caller may leave unfinished, and answers in one piece."""

from asyncio import AbstractEventLoop, Transport
from fcntl import ioctl
from socket import socket
from struct import calcsize, unpack
from termios import TIOCOUTQ
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD = 64 * 1024
SLOWEST_HEAD = 15  # seconds; whoever takes twice as long is certainly cut off
SLOWEST_READER = 1024  # bytes a second
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(HttpToolsProtocol):
    """Bounds what the parser does not: a head (and what follows a chunked body like one) is held in memory until it is whole, and
    a connection may wait for one for ever. One caller whom nobody knows would otherwise stop the process."""

    _unread = 0  # bytes since the parser last gave something on
    _heads = _heads_before = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(_Joining(transport, self.loop))  # type: ignore[arg-type]
        self._looking = self.loop.call_later(SLOWEST_HEAD, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._looking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > LONGEST_HEAD and not self.transport.is_closing():
            if self._is_idle():
                self.transport.write(_TOO_LONG)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._unread = 0
        self._heads += 1
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        super().on_message_complete()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _look(self) -> None:
        """Every so often: no head has come since the last look, and uvicorn does not mind the time until the next one itself."""
        if self._is_idle() and self.timeout_keep_alive_task is None and self._heads == self._heads_before:
            self.transport.close()
        self._heads_before = self._heads
        self._looking = self.loop.call_later(SLOWEST_HEAD, self._look)


class StrangersConnection(Connection):
    """An edge's: whoever does not take what she asked for, or takes it slower than any line is, is let go, or she would hold it, and what
    is behind it, for ever. Inside the house whoever is slow waits for somebody out there, who is bounded here."""

    _held_up = False  # more is written than was taken
    _left: int | None = None  # bytes that were not taken at the last look

    def pause_writing(self) -> None:
        super().pause_writing()
        self._held_up = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self._held_up, self._left = False, None

    def _look(self) -> None:
        # Nothing is added to what is looked at: whoever writes waits, or has done.
        if self._held_up or self.transport.is_closing():
            left = self._untaken()
            if self._left is not None and self._left - left < SLOWEST_READER * SLOWEST_HEAD:
                self.transport.abort()
            self._left = left
        super()._look()

    def _untaken(self) -> int:
        """Bytes that wait here or in the kernel."""
        sent: socket = self.transport.get_extra_info("socket")
        (in_kernel,) = unpack("i", ioctl(sent.fileno(), TIOCOUTQ, bytes(calcsize("i"))))
        return self.transport.get_write_buffer_size() + in_kernel


class _Joining:
    """A transport where the head of an answer waits for what follows it, until the event loop's next turn at most: one system call
    and one packet, where uvicorn makes two. All else passes as it comes, so that who writes faster than the other side reads is
    held up as ever."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport, self._loop, self._head = transport, loop, b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._let_go)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._let_go()
        self._transport.close()

    def _let_go(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
