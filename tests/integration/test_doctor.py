"""`amili doctor`: what it finds where all is well, and in each kind of trouble on the way to the API."""

import asyncio
import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from amili_async.cli.diagnosis.check import Check, CheckStatus
from amili_async.cli.diagnosis.doctor import NEEDS, diagnose
from amili_async.cli.resources import RESOURCES
from amili_async.sandbox import Sandbox
from tests.support.certificates import Authority, make_certificate
from tests.support.clocks import HastyClock
from tests.support.networks import listen_for, serve_proxy, serve_tls
from tests.support.starting import StartSandbox

OK, WARNING, FAILED, SKIPPED = CheckStatus.OK, CheckStatus.WARNING, CheckStatus.FAILED, CheckStatus.SKIPPED
NETWORK_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
READS = tuple(entry.name for entry in RESOURCES)
NEEDING_RESPONSES = ("token", *READS, *(f"{name}_fields" for name in READS), "clock", "rate_limit")


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Variables of this machine have no effect."""
    for name in NETWORK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


def access(sandbox: Sandbox, **others: str) -> dict[str, str]:
    """The variables of a client of a sandbox."""
    key = {"AMILI_API_CODE": sandbox.api_code, "AMILI_PRIVATE_KEY": sandbox.private_key}
    return {"AMILI_BASE_URL": sandbox.url, **key, **others}


async def checks_of(settings: Mapping[str, str], clock: HastyClock | None = None) -> dict[str, Check]:
    """Each check by its name, in order."""
    checks: list[Check] = []
    await diagnose(settings, checks.append, clock=clock)
    assert [check.name for check in checks] == list(NEEDS)
    assert all(bool(check.advice) == (check.status in (WARNING, FAILED)) for check in checks)
    return {check.name: check for check in checks}


def failures(checks: Mapping[str, Check]) -> list[str]:
    """The names of the checks that failed."""
    return [check.name for check in checks.values() if check.status is FAILED]


def skips(checks: Mapping[str, Check]) -> list[str]:
    """The names of the checks that were skipped."""
    return [check.name for check in checks.values() if check.status is SKIPPED]


async def test_all_is_well_with_a_sandbox(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """No check fails, each resource is requested once by a GET, and only the fields that the sandbox adds are named."""
    sandbox = await start_sandbox()
    checks = await checks_of(access(sandbox), clock)
    assert failures(checks) + skips(checks) == []
    warnings = [check.name for check in checks.values() if check.status is WARNING]
    assert set(warnings) <= {"payouts_fields", "specifications_fields"}
    assert "undocumented values of state: instalment_plan" in checks["specifications_fields"].message
    assert checks["specifications"].message.endswith("100 records of 250")
    assert [request.method for request in sandbox.requests] == ["GET"] * (1 + len(RESOURCES))
    cases = sandbox.requests[-1]
    assert cases.path == "/cases"
    assert "debtor" not in cases.query["projection"]
    assert json.loads(cases.query["projection"]).keys() >= {"state", "debt"}


async def test_a_proxy_and_an_authority_of_the_company(
    environ: pytest.MonkeyPatch, start_sandbox: StartSandbox, tmp_path: Path, clock: HastyClock
) -> None:
    """The tunnel is made with user and password, which no check shows; the issuer is named, and trusted by its file."""
    sandbox = await start_sandbox()
    authority = Authority(tmp_path, "Corporate Root")
    async with serve_tls(sandbox, authority.issue("localhost")) as url, serve_proxy(login="me:p@ss") as (port, targets):
        environ.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{port}")
        settings = access(sandbox, AMILI_BASE_URL=url, AMILI_CA_FILE=str(authority.path))
        checks = await checks_of(settings, clock)
        assert failures(checks) + skips(checks) == []
        assert checks["dns"].message.startswith("127.0.0.1 (the proxy")
        assert checks["proxy"].message.startswith(f"http://127.0.0.1:{port} (HTTPS_PROXY) makes a tunnel to localhost:")
        assert "issued by Corporate Root, which expires in 90 days" in checks["tls"].message
        assert checks["tls"].message.startswith("TLS 1.3")
        assert not any("p@ss" in check.message or "p%40ss" in check.message for check in checks.values())
        assert set(targets) == {url.removeprefix("https://")}


@pytest.mark.parametrize(
    ("refusal", "words", "advice"),
    [
        (b"407 No", r"demands a user and a password", "percent-encoded"),
        (b"403 No", r"forbids the host \(403\)", "ask who runs the proxy to permit CONNECT to localhost:"),
        (b"502 No", r"answered 502", "check the host in AMILI_BASE_URL"),
    ],
)
async def test_a_proxy_that_makes_no_tunnel(
    refusal: bytes, words: str, advice: str, environ: pytest.MonkeyPatch, start_sandbox: StartSandbox, clock: HastyClock
) -> None:
    """It is named with its variable and its reason, and all behind it is skipped; the password is not shown."""
    sandbox = await start_sandbox()
    async with serve_proxy(login="me:right", refusal=refusal) as (port, _):
        environ.setenv("https_proxy", f"http://me:wrong@127.0.0.1:{port}")
        checks = await checks_of(access(sandbox, AMILI_BASE_URL="https://localhost:1"), clock)
    assert failures(checks) == ["proxy"]
    assert skips(checks) == ["tls", *(name for name in NEEDS if name in NEEDING_RESPONSES)]
    assert (checks["tls"].message, checks["clock"].message) == ("not checked: proxy failed",) * 2
    assert checks["proxy"].message.startswith(f"http://127.0.0.1:{port} (https_proxy) ")
    assert re.search(words, checks["proxy"].message)
    assert advice in checks["proxy"].advice
    assert not any("wrong" in check.message for check in checks.values())


async def test_no_proxy_and_why(environ: pytest.MonkeyPatch, start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """NO_PROXY covers the host, no variable is set, ALL_PROXY is not read, and plain http to this machine uses none."""
    sandbox = await start_sandbox()
    settings = access(sandbox, AMILI_BASE_URL="https://localhost:1")
    environ.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert (await proxy_of(access(sandbox), clock)) == "none: plain http to this machine uses none"
    environ.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with listen_for(ignore) as port:
        settings["AMILI_BASE_URL"] = f"https://localhost:{port}"
        assert await proxy_of(settings, clock) == "none: HTTPS_PROXY is not set, and ALL_PROXY is not read"
        environ.delenv("ALL_PROXY")
        assert await proxy_of(settings, clock) == "none: HTTPS_PROXY is not set"
        environ.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        environ.setenv("NO_PROXY", "example.com,localhost")
        assert await proxy_of(settings, clock) == "none: NO_PROXY covers localhost"


async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close each connection at once."""


async def proxy_of(settings: Mapping[str, str], clock: HastyClock) -> str:
    return (await checks_of(settings, clock))["proxy"].message


async def close_to_tunnels(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a server that knows no HTTP."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"220 ready\r\n\r\n")


async def test_a_proxy_that_is_none(environ: pytest.MonkeyPatch, clock: HastyClock) -> None:
    """A server of another kind at its port is named as such, and a closed port by the system's reason."""
    settings = {"AMILI_BASE_URL": "https://localhost:1", "AMILI_TOKEN": "t"}
    async with listen_for(close_to_tunnels) as port:
        environ.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        checks = await checks_of(settings, clock)
        assert (failures(checks), checks["proxy"].message[-27:]) == (["proxy"], " does not answer as a proxy")
        environ.setenv("HTTPS_PROXY", f"https://127.0.0.1:{port}")
        checks = await checks_of(settings, clock)
        assert failures(checks) == ["proxy"]
        assert "makes no tunnel: TLS failed (" in checks["proxy"].message
    checks = await checks_of(settings, clock)
    assert failures(checks) == ["tcp"]
    environ.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    checks = await checks_of(settings, clock)
    assert failures(checks) == ["configuration"]
    assert "HTTPS_PROXY or HTTP_PROXY is no URL" in checks["configuration"].message


TLS_FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "expired": (
        {"starts": -9, "ends": -2},
        r"it expired on \d{4}-\d\d-\d\d \(issued by Corporate Root\)",
        "this machine's clock",
    ),
    "not yet valid": ({"starts": 2}, r"it is not valid before \d{4}-\d\d-\d\d", "this machine's clock"),
    "of another host": (
        {"host": "api.example"},
        r"it is for api\.example and not for localhost \(issued by Corporate Root\)",
        "AMILI_BASE_URL",
    ),
}


@pytest.mark.parametrize("name", TLS_FAULTS)
async def test_a_certificate_that_is_not_valid(
    name: str, start_sandbox: StartSandbox, tmp_path: Path, clock: HastyClock
) -> None:
    """The reason is stated in words, with its issuer, date or hosts, and all behind it is skipped."""
    options, words, advice = TLS_FAULTS[name]
    sandbox, authority = await start_sandbox(), Authority(tmp_path, "Corporate Root")
    async with serve_tls(sandbox, authority.issue(**({"host": "localhost"} | options))) as url:
        settings = access(sandbox, AMILI_BASE_URL=url, AMILI_CA_FILE=str(authority.path))
        checks = await checks_of(settings, clock)
    assert failures(checks) == ["tls"]
    assert skips(checks) == [name for name in NEEDS if name in NEEDING_RESPONSES]
    assert re.search(f"^the server's certificate is not trusted: {words}", checks["tls"].message)
    assert advice in checks["tls"].advice
    assert sandbox.requests == []


async def test_an_authority_that_is_not_known(start_sandbox: StartSandbox, tmp_path: Path, clock: HastyClock) -> None:
    """The issuer of a company's proxy is named, and so is AMILI_CA_FILE; a certificate that signed itself is one."""
    sandbox = await start_sandbox()
    async with serve_tls(sandbox, Authority(tmp_path, "Corporate\x1b[2J Root").issue("localhost")) as url:
        checks = await checks_of(access(sandbox, AMILI_BASE_URL=url), clock)
        assert failures(checks) == ["tls"]
        assert r"its issuer is not known on this machine (issued by Corporate\x1b[2J Root)" in checks["tls"].message
        assert "set AMILI_CA_FILE (or amili --ca-file)" in checks["tls"].advice
    async with serve_tls(sandbox, make_certificate(tmp_path, host="localhost")) as url:
        checks = await checks_of(access(sandbox, AMILI_BASE_URL=url), clock)
        assert "it is self-signed (issued by localhost)" in checks["tls"].message
        assert "set AMILI_CA_FILE" in checks["tls"].advice


async def test_a_certificate_that_expires_soon(start_sandbox: StartSandbox, tmp_path: Path, clock: HastyClock) -> None:
    """Below fourteen days it is a warning, and all else is checked."""
    sandbox, authority = await start_sandbox(), Authority(tmp_path, "Corporate Root")
    for days, status in ((14, OK), (13, WARNING)):
        async with serve_tls(sandbox, authority.issue("localhost", ends=days)) as url:
            settings = access(sandbox, AMILI_BASE_URL=url, AMILI_CA_FILE=str(authority.path))
            checks = await checks_of(settings, clock)
        assert failures(checks) + skips(checks) == []
        assert (checks["tls"].status, f"expires in {days} days" in checks["tls"].message) == (status, True)


async def test_a_port_without_tls(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """A server of plain http at an https URL is named as such."""
    sandbox = await start_sandbox()
    url = sandbox.url.replace("http://127.0.0.1", "https://localhost")
    checks = await checks_of(access(sandbox, AMILI_BASE_URL=url), clock)
    assert failures(checks) == ["tls"]
    assert checks["tls"].message == "the port accepts connections, but does not speak TLS"
    async with listen_for(ignore) as port:
        checks = await checks_of(access(sandbox, AMILI_BASE_URL=f"https://localhost:{port}"), clock)
    assert failures(checks) == ["tls"]
    assert checks["tls"].message.startswith("the handshake failed: ")


async def test_a_closed_port(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """The address and the system's reason are shown; with another address that accepts, it is a warning."""
    sandbox = await start_sandbox()
    settings = access(sandbox)
    await sandbox.aclose()
    checks = await checks_of(settings, clock)
    assert failures(checks) == ["tcp"]
    assert checks["tcp"].message.endswith(" cannot be connected to at 127.0.0.1: connection refused")
    assert "set HTTPS_PROXY" in checks["tcp"].advice


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UnicodeError("label too long")]
)
async def test_a_name_without_addresses(error: Exception, monkeypatch: pytest.MonkeyPatch, clock: HastyClock) -> None:
    """The host and the reason are shown, and that a proxy may be needed."""

    async def resolve(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    checks = await checks_of({"AMILI_BASE_URL": "https://api.nowhere.example", "AMILI_TOKEN": "t"}, clock)
    assert failures(checks) == ["dns"]
    assert checks["dns"].message.startswith("api.nowhere.example cannot be resolved: ")
    assert "set HTTPS_PROXY" in checks["dns"].advice
    assert checks["payouts"].message == "not checked: dns failed"
