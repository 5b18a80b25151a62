"""Between the socket and the endpoints: counts, limits, delays and breaks requests, and sends the answers."""

import asyncio
import socket
import struct
from collections.abc import Callable

import msgspec
from aiohttp import web

from .answers import Answer, error_answer, reason
from .dates import at_epoch, write_date
from .endpoints import Endpoints
from .errors import Refused
from .faults import Fault, FaultPlan, Interference
from .journal import Journal, ReceivedRequest
from .limits import Budget, limit_headers
from .tokens import TokenIssuer


class HttpHandler:
    """Answers requests one by one, each in a task of the server's. *closing* ends every wait."""

    def __init__(
        self,
        endpoints: Endpoints,
        office: TokenIssuer,
        budget: Budget | None,
        *,
        clock: Callable[[], float],
        latency: float,
        shows_limits: bool,
    ) -> None:
        self._office = office
        self._budget = budget
        self._clock = clock
        self._latency = latency
        self._shows_limits = shows_limits
        self.interference = Interference(endpoints.answer)
        self.plan = FaultPlan()
        self.journal = Journal()
        self.closing = asyncio.Event()
        self.open = 0
        self.most_open = 0

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Read, answer and remember one request."""
        received = await self._read(request)
        self.journal.append(received)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            answer = await self._play(request, received)
        finally:
            self.open -= 1
        if answer is None:
            return web.Response()  # goes nowhere: the connection is closed already
        self.journal.note_answer(received, status=answer.status, sent_at=self._clock())
        return _as_response(self._stamp(answer))

    async def _read(self, request: web.BaseRequest) -> ReceivedRequest:
        return ReceivedRequest(
            method=request.method,
            path=request.path,
            query=_first_of_each(request),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read() if request.can_read_body else b"",
            received_at=self._clock(),
        )

    async def _play(self, request: web.BaseRequest, received: ReceivedRequest) -> Answer | None:
        """What is answered, or None where the connection does not live to see it."""
        headers, refusal = self._count(received.received_at)
        await pause(self._latency, self.closing)
        if refusal is not None:
            return refusal.with_headers(headers)
        fault = self.plan.take(received.method, received.path)
        if fault is None:
            return self._carry_out(received).with_headers(headers)
        return await self._misbehave(request, fault, lambda: self._carry_out(received), headers)

    def _count(self, now: float) -> tuple[dict[str, str], Answer | None]:
        """Count a request; the headers that tell of it, and the refusal if there were too many."""
        if self._budget is None:
            return {}, None
        verdict = self._budget.ask(now)
        headers = limit_headers(verdict, now) if self._shows_limits else {}
        return headers, None if verdict.allowed else error_answer(Refused(429, "Rate limit exceeded"))

    def _carry_out(self, received: ReceivedRequest) -> Answer:
        return self.interference.carry_out(received, self._clock())

    def _stamp(self, answer: Answer) -> Answer:
        """The answer with the sandbox's time on it, unless it names one of its own."""
        return msgspec.structs.replace(answer, headers={"Date": write_date(at_epoch(self._clock())), **answer.headers})

    async def _misbehave(
        self, request: web.BaseRequest, fault: Fault, carry_out: Callable[[], Answer], headers: dict[str, str]
    ) -> Answer | None:
        await pause(fault.delay, self.closing)
        if fault.revoke:
            self._office.revoke_all()
        if fault.reset == "before":
            reset(request)
            return None
        if fault.hang and not fault.is_cut:
            if fault.carried_out:
                carry_out()
            await wait_until_gone(request, self.closing)
            reset(request)
            return None
        false_answer = fault.answer()
        if false_answer is None or fault.carried_out:
            true_answer = carry_out()
        if fault.reset == "after":
            reset(request)
            return None
        answer = (false_answer or true_answer).with_headers({**headers, **fault.headers})
        if not fault.is_cut:
            return answer
        await self._send_part(request, answer, fault)
        return None

    async def _send_part(self, request: web.BaseRequest, answer: Answer, fault: Fault) -> None:
        send_part(request, self._stamp(answer), head=fault.cut_head, body=fault.cut)
        if fault.hang:
            await wait_until_gone(request, self.closing)
        close(request)


def _first_of_each(request: web.BaseRequest) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in request.query.items():
        query.setdefault(name, value)
    return query


def _as_response(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers={**answer.headers, "Content-Type": answer.content_type},
    )


_LINGER_NOT = struct.pack("ii", 1, 0)
_LOOK_EVERY = 0.02


def reset(request: web.BaseRequest) -> None:
    """Close the connection so that the client sees a reset: without an end, without another byte."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


def send_part(request: web.BaseRequest, answer: Answer, *, head: int | None, body: int | None) -> None:
    """Announce the whole answer, send that many bytes of its head, or else of its body; the connection stays open."""
    lines = [
        f"HTTP/1.1 {answer.status} {reason(answer.status)}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
        "\r\n",
    ]
    announced = "\r\n".join(lines).encode()
    part = announced + answer.body[:body] if head is None else announced[:head]
    if request.transport is not None:
        request.transport.write(part)


def close(request: web.BaseRequest) -> None:
    """End the connection after what has been written."""
    if request.transport is not None:
        request.transport.close()


async def wait_until_gone(request: web.BaseRequest, closing: asyncio.Event) -> None:
    """Return when the client has gone away or *closing* is set."""
    while not closing.is_set() and request.transport is not None and not request.transport.is_closing():
        await pause(_LOOK_EVERY, closing)


async def pause(seconds: float, closing: asyncio.Event) -> None:
    """Sleep, but no longer than until *closing* is set."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await closing.wait()
    except TimeoutError:
        return
