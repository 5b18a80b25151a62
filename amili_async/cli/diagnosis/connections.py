"""Names and connections: the addresses of the first host on the way, and whether they accept connections."""

import asyncio
import socket
from collections.abc import Sequence

from amili_async._wire.session import CONNECT_TIMEOUT
from amili_async.cli.diagnosis.check import Check, failed, passed, warned
from amili_async.cli.diagnosis.route import Route, explain_failure, port_of, show_seconds

MAX_ADDRESSES = 8
"""Addresses of one name that are tried."""


async def check_dns(route: Route) -> tuple[Check, Sequence[str]]:
    """Whether the name of the first host can be resolved, and to which addresses."""
    host, whose = route.first.hostname or "", "" if route.proxy is None else " (the proxy; it resolves the API's name)"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port_of(route.first), type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
    except (OSError, UnicodeError) as error:
        reason = explain_failure(error, "no name server answers")
        advice = "check the spelling of the host, this machine's network and its VPN"
        hint = "" if route.proxy else "; where only a proxy reaches the internet, set HTTPS_PROXY"
        return failed("dns", f"{host}{whose} cannot be resolved: {reason}", advice + hint), ()
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    shown = "is an address" if addresses == [host] else f"has the addresses {', '.join(addresses[:MAX_ADDRESSES])}"
    return passed("dns", f"{host}{whose} {shown}"), addresses[:MAX_ADDRESSES]


async def check_connections(route: Route, addresses: Sequence[str]) -> Check:
    """Whether each address accepts connections."""
    port, loop = port_of(route.first), asyncio.get_running_loop()
    started = loop.time()
    faults = await asyncio.gather(*(_find_fault(address, port) for address in addresses))
    open_ones = [address for address, fault in zip(addresses, faults, strict=True) if fault is None]
    closed = [f"{address}: {fault}" for address, fault in zip(addresses, faults, strict=True) if fault is not None]
    accepted = f"port {port} accepts connections ({', '.join(open_ones)}; {show_seconds(loop.time() - started)})"
    if not closed:
        return passed("tcp", accepted)
    unreachable = f"port {port} cannot be connected to at {', '.join(closed)}"
    if open_ones:
        return warned("tcp", f"{accepted}; {unreachable}", "nothing, unless requests are slow to start")
    hint = "" if route.proxy else ", or a proxy is required: set HTTPS_PROXY"
    return failed("tcp", unreachable, f"check host and port; a firewall may block them{hint}")


async def _find_fault(address: str, port: int) -> str | None:
    """Why no connection can be made to an address; `None` if one can."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, address, port)
    except OSError as error:
        return explain_failure(error, f"no answer within {CONNECT_TIMEOUT:.0f} s")
    transport.abort()
    return None
