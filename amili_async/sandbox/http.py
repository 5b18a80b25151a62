"""Between the socket and the endpoints: counts, limits, delays and breaks requests, and sends the answers."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from http.client import responses

from aiohttp import web
from msgspec.structs import replace

from .answers import Answer, HttpError
from .bson_values import at_epoch, write_date
from .endpoints import Endpoints
from .faults import Fault, FaultPlan, Overrides
from .journal import Journal, ReceivedRequest
from .limits import RequestLimiter, limit_headers
from .tokens import TokenIssuer

_logger = logging.getLogger("amili_async.sandbox")
_NO_LINGER = struct.pack("ii", 1, 0)
_DISCONNECT_POLL = 0.02
"""Seconds: aiohttp has no event for a client that disconnects while a handler waits."""


class HttpHandler:
    """Answers requests, each in a task of the server. *closing* ends every wait."""

    def __init__(
        self,
        endpoints: Endpoints,
        tokens: TokenIssuer,
        limiter: RequestLimiter | None,
        *,
        clock: Callable[[], float],
        latency: float,
        sends_limits: bool,
    ) -> None:
        self._tokens = tokens
        self._limiter = limiter
        self._clock = clock
        self._latency = latency
        self._sends_limits = sends_limits
        self.overrides = Overrides(endpoints.answer)
        self.plan = FaultPlan()
        self.journal = Journal()
        self.closing = asyncio.Event()
        self.in_flight = 0
        self.most_in_flight = 0

    async def respond(self, connection: web.BaseRequest) -> web.StreamResponse:
        """Read, answer and record one request."""
        try:
            body = await _read_body(connection)
        except (web.RequestPayloadError, ConnectionError):  # a body of another form than announced, or cut off
            return web.Response(status=400)
        request = ReceivedRequest(
            method=connection.method,
            path=connection.path,
            query={name: connection.query[name] for name in connection.query},
            headers={name.lower(): value for name, value in connection.headers.items()},
            body=body,
            received_at=self._clock(),
        )
        self.journal.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            answer = await self._answer(connection, request)
        finally:
            self.in_flight -= 1
        if answer is None:
            return web.Response()  # aiohttp needs a response, which the closed connection drops
        self.journal.record_answer(request, status=answer.status, sent_at=self._clock())
        facts = {"amili_request": f"{request.method} {request.path}", "amili_status": answer.status}
        _logger.debug("%s returned %d", *facts.values(), extra=facts)
        answer = self._with_date(answer)
        headers = {**answer.headers, "Content-Type": answer.content_type}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _answer(self, connection: web.BaseRequest, request: ReceivedRequest) -> Answer | None:
        """The answer, or None where the connection is closed without one."""
        now = request.received_at
        admission = self._limiter.admit(now) if self._limiter is not None else None
        headers = limit_headers(admission, now) if admission is not None and self._sends_limits else {}
        await _pause(self._latency, self.closing)
        if admission is not None and not admission.allowed:
            return HttpError(429, "Rate limit exceeded").answer().with_headers(headers)
        fault = self.plan.next_fault(request.method, request.path) or Fault()
        return await self._respond_with(fault, connection, request, headers)

    def _carry_out(self, request: ReceivedRequest) -> Answer:
        # By the time after the latency and delay: a token may have expired in between.
        return self.overrides.carry_out(request, self._clock())

    def _with_date(self, answer: Answer) -> Answer:
        """The answer with the sandbox's time in `Date`, unless it has a date of its own."""
        return replace(answer, headers={"Date": write_date(at_epoch(self._clock())), **answer.headers})

    async def _respond_with(
        self, fault: Fault, connection: web.BaseRequest, request: ReceivedRequest, headers: dict[str, str]
    ) -> Answer | None:
        await _pause(fault.delay, self.closing)
        if fault.revoke:
            self._tokens.revoke_all()
        if fault.reset == "before":
            _reset(connection)
            return None
        if fault.hang and not fault.is_cut:
            if fault.carried_out:
                self._carry_out(request)
            await _wait_for_disconnect(connection, self.closing)
            _reset(connection)
            return None
        false_answer = fault.answer()
        if false_answer is None or fault.carried_out:
            true_answer = self._carry_out(request)
        if fault.reset == "after":
            _reset(connection)
            return None
        answer = (false_answer or true_answer).with_headers({**headers, **fault.headers})
        if not fault.is_cut:
            return answer
        await self._send_part(connection, self._with_date(answer), fault)
        return None

    async def _send_part(self, connection: web.BaseRequest, answer: Answer, fault: Fault) -> None:
        """Announce the whole answer, then send the part of its head or body that the fault leaves."""
        lines = [
            f"HTTP/1.1 {answer.status} {responses.get(answer.status, 'Unknown')}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
            "\r\n",
        ]
        head = "\r\n".join(lines).encode()
        part = head + answer.body[: fault.cut] if fault.cut_head is None else head[: fault.cut_head]
        if connection.transport is not None:
            connection.transport.write(part)
        if fault.hang:
            await _wait_for_disconnect(connection, self.closing)
        if connection.transport is not None:
            connection.transport.close()


async def _read_body(connection: web.BaseRequest) -> bytes:
    if connection.headers.get("Expect", "").lower() == "100-continue":
        await connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.writer.output_size = 0  # aiohttp takes what is counted here for a part of the answer
    return await connection.content.read()  # `connection.read()` rejects more than 1 MB, which Eve accepts


def _reset(connection: web.BaseRequest) -> None:
    """Close the connection with a TCP reset, which needs SO_LINGER of zero seconds; a plain close sends a FIN."""
    transport = connection.transport
    if transport is not None:
        open_socket = transport.get_extra_info("socket")
        if open_socket is not None:
            open_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()


async def _wait_for_disconnect(connection: web.BaseRequest, closing: asyncio.Event) -> None:
    while not closing.is_set() and connection.transport is not None and not connection.transport.is_closing():
        await _pause(_DISCONNECT_POLL, closing)


async def _pause(seconds: float, closing: asyncio.Event) -> None:
    """Sleep, but no longer than until *closing* is set."""
    if seconds <= 0:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await closing.wait()
