"""HTTP/1.1 on a socket of asyncio: requests one after the other, however they are cut or piled up."""

import asyncio
import contextlib
import socket
import struct
from typing import Protocol, cast

from reverse_etl_tests.s3.bodies import ChunkedBody, SizedBody, choose_body
from reverse_etl_tests.s3.inbox import Inbox
from reverse_etl_tests.s3.messages import MalformedRequestError, Request, Response, parse_head

_LONGEST_HEAD = 65_536
_PILED_BYTES = 1_048_576
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Service(Protocol):
    """Whoever answers requests."""

    def open(self, connection: "Connection") -> None:
        """A client has come."""

    def close(self, connection: "Connection") -> None:
        """A client has gone."""

    def begin(self, request: Request) -> None:
        """A request has begun: its head is there."""

    def end(self, request: Request) -> None:
        """A request has ended, answered or not."""

    def serve(self, connection: "Connection", request: Request) -> None:
        """Answer, now or later: by one call of `answer`, `cut` or `reset` of the connection."""


class Connection(asyncio.Protocol):
    """One client. A request is read when the one before has been answered."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transport: asyncio.Transport | None = None
        self._inbox = Inbox()
        self._request: Request | None = None
        self._body: SizedBody | ChunkedBody | None = None
        self._is_answering = False
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._service.open(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self._finish()
        self._inbox.clear()
        self._service.close(self)

    def data_received(self, data: bytes) -> None:
        self._inbox.add(data)
        if not self._is_answering:
            self._advance()
        elif len(self._inbox) > _PILED_BYTES and self._transport and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def answer(self, request: Request, response: Response, request_id: str) -> int:
        """Send an answer, and go on to what was asked next. Returns the bytes that were sent."""
        transport = self._transport
        if transport is None:
            return 0
        pieces = response.encode(request, request_id)
        transport.writelines(pieces)
        self._finish()
        if not request.keeps_alive:
            transport.close()
        elif self._inbox or self._is_paused:
            # Not from here: answers to piled-up requests would nest as deep as the pile.
            asyncio.get_running_loop().call_soon(self._resume)
        return sum(map(len, pieces))

    def cut(self, sent: bytes) -> None:
        """Send so much, and close the connection."""
        if self._transport is not None:
            self._transport.write(sent)
            self._transport.close()

    def reset(self) -> None:
        """End the connection by a reset (RST)."""
        if self._transport is None:
            return
        found = self._transport.get_extra_info("socket")
        if found is not None:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _resume(self) -> None:
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        if not self._is_answering:
            self._advance()

    def _advance(self) -> None:
        """Take the next request off the buffer, if it is whole, and have it answered."""
        try:
            if self._request is None and not self._begin():
                return
            assert self._request is not None
            assert self._body is not None
            body = self._body.take(self._inbox)
        except MalformedRequestError:
            self.cut(_BAD_REQUEST)
            return
        if body is None:
            return
        self._request.body = body
        self._is_answering = True
        self._service.serve(self, self._request)

    def _begin(self) -> bool:
        end = self._inbox.find(b"\r\n\r\n", within=_LONGEST_HEAD)
        if end is None:
            if len(self._inbox) > _LONGEST_HEAD:
                raise MalformedRequestError("a head without an end")
            return False
        request = parse_head(self._inbox.take(end))
        self._inbox.skip(4)
        self._body = choose_body(request)
        self._request = request
        self._service.begin(request)
        if request.headers.get("expect", "").lower() == "100-continue" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _finish(self) -> None:
        if self._request is not None:
            request, self._request, self._body = self._request, None, None
            self._is_answering = False
            self._service.end(request)
