"""`amili doctor`: what it finds where all is well, and in each kind of trouble on the way to the API."""

import asyncio
import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from amili_async.cli.app import app
from amili_async.cli.diagnosis import api
from amili_async.cli.diagnosis.check import Check, CheckStatus
from amili_async.cli.diagnosis.doctor import NEEDS, diagnose
from amili_async.cli.resources import RESOURCES
from amili_async.sandbox import Fault, RateWindow, Sandbox
from amili_async.sandbox.tokens import make_private_key
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
        (b"403 No", r"forbids the host \(403\)", "ask the proxy's owner to permit CONNECT to localhost:"),
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


async def test_plain_http_through_a_proxy(
    environ: pytest.MonkeyPatch, start_sandbox: StartSandbox, clock: HastyClock
) -> None:
    """In a private network: it is a warning, and the proxy, which gets the requests themselves, is named."""
    sandbox = await start_sandbox()
    environ.setenv("HTTP_PROXY", sandbox.url)
    checks = await checks_of(access(sandbox, AMILI_BASE_URL="http://amili.internal", AMILI_ALLOW_HTTP="1"), clock)
    assert failures(checks) + skips(checks) == []
    assert checks["proxy"].message == f"{sandbox.url} (HTTP_PROXY) gets the requests"
    assert (checks["tls"].status, checks["tls"].advice[:9]) == (WARNING, "use https")
    assert {request.headers["host"] for request in sandbox.requests} == {"amili.internal"}


async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close each connection at once."""


async def proxy_of(settings: Mapping[str, str], clock: HastyClock) -> str:
    return (await checks_of(settings, clock))["proxy"].message


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a server of mail."""
    writer.write(b"220 ready\r\n\r\n")
    await reader.read()


async def test_a_proxy_that_is_none(environ: pytest.MonkeyPatch, clock: HastyClock) -> None:
    """A server of another kind at its port is named as such, and a closed port by the system's reason."""
    settings = {"AMILI_BASE_URL": "https://localhost:1", "AMILI_TOKEN": "t"}
    async with listen_for(greet) as port:
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


TLS_FAULTS: Mapping[str, tuple[dict[str, Any], str, str]] = {
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


async def test_a_key_that_is_not_registered(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """One request, the advice names the registration, and the clock, which agrees, is not to blame."""
    sandbox = await start_sandbox()
    checks = await checks_of(access(sandbox, AMILI_PRIVATE_KEY=make_private_key()), clock)
    assert failures(checks) == ["token"]
    assert "was rejected with 401" in checks["token"].message
    assert "which public key is registered" in checks["token"].advice
    assert (checks["clock"].status, checks["payouts"].message) == (OK, "not checked: token failed")
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize(
    ("ahead", "status", "words"),
    [
        (4, OK, "agrees with the server's"),
        (20, WARNING, "20 s ahead of the server's"),
        (60, WARNING, "60 s ahead of the server's: a server that is strict about the ten minutes"),
        (-60, WARNING, "60 s behind the server's"),
        (-1_000, FAILED, "1000 s behind the server's: a JWT that it dates is rejected"),
        (5_000, FAILED, "5000 s ahead of the server's: a JWT that it dates is rejected"),
    ],
)
async def test_a_clock_that_is_wrong(
    ahead: int, status: CheckStatus, words: str, start_sandbox: StartSandbox, clock: HastyClock
) -> None:
    """It fails where a JWT dated by it is rejected, although the client gets a token by the server's clock."""
    sandbox, own = await start_sandbox(), HastyClock()
    # Half a second later than the whole seconds of the server's date.
    own.epoch = clock.epoch = round(clock.epoch) + 0.5
    own.epoch += ahead
    checks = await checks_of(access(sandbox), own)
    assert failures(checks) == (["clock"] if status is FAILED else [])
    assert checks["clock"].status is status
    assert words in checks["clock"].message
    assert ("NTP" in checks["clock"].advice) is (status is not OK)
    fixed = await checks_of({"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token()}, own)
    assert failures(fixed) == []


async def test_a_clock_too_wrong_for_any_token(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """With a key that is rejected besides, both are reported."""
    sandbox, own = await start_sandbox(), HastyClock()
    own.epoch = clock.epoch - 5_000
    checks = await checks_of(access(sandbox, AMILI_PRIVATE_KEY=make_private_key()), own)
    assert failures(checks) == ["token", "clock"]
    assert "behind the server's, whose time was rejected too" in checks["token"].message
    assert len(sandbox.requests) == 2


async def test_a_resource_that_is_not_permitted(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """It alone fails, its fields are skipped, and the others are read."""
    sandbox = await start_sandbox()
    sandbox.fail(Fault(status=403), path="creditor--payments", times=None)
    checks = await checks_of(access(sandbox), clock)
    assert failures(checks) == ["payments"]
    assert skips(checks) == ["payments_fields"]
    assert "returned 403: these credentials do not permit this" in checks["payments"].message
    assert "ask Amili to permit this resource" in checks["payments"].advice


@pytest.mark.parametrize(
    ("fault", "words", "advice", "halts"),
    [
        (Fault.too_many_requests(retry_after=30), "returned 429", "wait 30 s; ", True),
        (Fault(status=200, body="<p>Log in"), r"\(status 200, text/html\) is no complete JSON", "login page", True),
        (Fault(status=200, body={"items": []}), "is not as documented", "a proxy may answer", False),
        (Fault.server_error(), "returned 500", "try again later", False),
        (Fault.unavailable(), "returned 503", "try again later", False),
        (Fault(reset="before"), "the connection broke", "AMILI_BASE_URL", True),
        (Fault(status=401), "the access token was rejected", "that it has just issued", True),
        (Fault(status=404), "returned 404", "check AMILI_BASE_URL", False),
        (Fault(status=302, headers={"Location": "/login"}), "redirects are not followed", "AMILI_BASE_URL", False),
    ],
)  # fmt: skip
async def test_a_response_that_is_no_page(
    fault: Fault, words: str, advice: str, halts: bool, start_sandbox: StartSandbox, clock: HastyClock
) -> None:
    """The request is sent once; one that each further request would share ends the requests."""
    sandbox = await start_sandbox()
    sandbox.fail(fault, path="finance--payouts", times=None)
    checks = await checks_of(access(sandbox), clock)
    assert failures(checks) == ["payouts"]
    assert re.search(words, checks["payouts"].message)
    assert advice in checks["payouts"].advice
    assert (checks["specifications"].message == "not checked: payouts failed") is halts
    assert len(sandbox.requests) == (2 if halts else 1 + len(RESOURCES))


async def test_a_login_page_in_place_of_the_token(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """HTML with status 200 is no token, and nothing of it is shown."""
    sandbox = await start_sandbox()
    sandbox.fail(Fault(status=200, body="<p>Log in, Anna"), path="/authenticates", times=None)
    checks = await checks_of(access(sandbox), clock)
    assert failures(checks) == ["token"]
    assert "(status 200, text/html) is no complete JSON object" in checks["token"].message
    assert not any("Anna" in check.message for check in checks.values())
    assert len(sandbox.requests) == 1


async def test_fields_that_are_not_as_documented(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """Names and words are shown where they look like one; of others only how many there are, and never a value."""
    sandbox = await start_sandbox(payments=3)
    rows = [row["_id"] for row in sandbox.rows("creditor--payments")]
    odd = {"amount": "12 öre", "settled_amount": True, "status": "frozen", "currency": None, "räntesats": 1}
    sandbox.update("creditor--payments", rows[0], odd | {"Anna Andersson": 1, "x" * 80: 1})
    sandbox.update("creditor--payments", rows[1], {"status": "Anna Andersson"})
    checks = await checks_of(access(sandbox), clock)
    assert failures(checks) == ["payments_fields"]
    message = checks["payments_fields"].message
    assert "amount is not a number in 1 of 3 payments" in message
    assert "settled_amount is not a number in 1 of 3 payments" in message
    assert "currency is missing in 1 of 3 payments" in message
    assert "undocumented fields: räntesats, 2 more that are not shown" in message
    assert "undocumented values of status: frozen, 1 more that is not shown" in message
    assert not any(word in message for word in ("Anna", "öre", "xxx"))


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({}, OK, "no X-RateLimit-* headers are sent: the client keeps to 100 a minute and 10 a second"),
        (
            {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "93", "X-RateLimit-Reset": "42"},
            OK,
            "the server reports limit 100, remaining 93, reset in 42 s",
        ),
        (
            {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "53", "X-RateLimit-Reset": "42"},
            WARNING,
            "the server reports limit 60",
        ),
        ({"RateLimit": '"default";r=50;t=30'}, WARNING, "cannot read what is sent (RateLimit)"),
    ],
)
async def test_the_rate_limit_that_the_server_reports(
    headers: dict[str, str], status: CheckStatus, words: str, start_sandbox: StartSandbox, clock: HastyClock
) -> None:
    """Its headers are shown, and compared with the client's own limit."""
    sandbox = await start_sandbox()
    sandbox.fail(Fault(headers=headers), times=None)
    checks = await checks_of(access(sandbox), clock)
    assert (checks["rate_limit"].status, words in checks["rate_limit"].message) == (status, True)


async def test_the_rate_limit_is_kept(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """A server that permits two requests a second gets no more, if the settings name that limit."""
    sandbox = await start_sandbox(rate_limit=[RateWindow(2, 1.0)])
    checks = await checks_of(access(sandbox, AMILI_RATE_PER_SECOND="2"), clock)
    assert failures(checks) == []


async def test_a_token_of_the_settings(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """It is used without an exchange; one that is rejected is reported once, and ends the requests."""
    sandbox = await start_sandbox()
    settings = {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token()}
    checks = await checks_of(settings, clock)
    assert failures(checks) + skips(checks) == []
    assert len(sandbox.requests) == len(RESOURCES)
    sandbox.revoke_tokens()
    checks = await checks_of(settings, clock)
    assert failures(checks) == ["payouts"]
    assert "get a new token" in checks["payouts"].advice
    assert len(sandbox.requests) == len(RESOURCES) + 1


async def test_without_credentials_the_way_is_checked(start_sandbox: StartSandbox, clock: HastyClock) -> None:
    """The network is checked, nothing is sent, and the sandbox that needs none is named."""
    sandbox = await start_sandbox()
    checks = await checks_of({"AMILI_BASE_URL": sandbox.url}, clock)
    assert failures(checks) == ["credentials"]
    assert "AMILI_TOKEN is not set" in checks["credentials"].message
    assert "amili doctor --sandbox" in checks["credentials"].advice
    assert (checks["tls"].status, checks["token"].message) == (OK, "not checked: credentials failed")
    assert sandbox.requests == []


async def test_a_shared_limit_without_its_redis(
    start_sandbox: StartSandbox, clock: HastyClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis that cannot be reached is named by its variable, without its URL."""
    monkeypatch.setattr(api, "MAX_WAIT", 0.1)
    sandbox = await start_sandbox()
    settings = access(sandbox, AMILI_REDIS_URL="redis://:hemlig@127.0.0.1:1")
    checks = await checks_of(settings, clock)
    assert failures(checks) == ["token", "rate_limit"]
    assert "AMILI_REDIS_URL" in checks["token"].advice
    assert "AMILI_REDIS_URL" in checks["rate_limit"].advice
    assert not any("hemlig" in check.message for check in checks.values())


def amili(*arguments: str, **environment: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ("doctor", *arguments), env={"COLUMNS": "80"} | environment)


def test_the_lines_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check is a line with its status as a word, folded to the terminal, and the last line counts them."""
    result = amili("--sandbox")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    shown = re.findall(r"^(ok|warning|failed|skipped) +(\S.*?)  ", result.stdout, re.MULTILINE)
    assert [name for _, name in shown] == [
        "fields" if name.endswith("_fields") else name.replace("_", " ") for name in NEEDS
    ]
    assert re.search(r"\n {25}To do: nothing fails by it", result.stdout)
    assert re.search(r"\n\n\d+ ok, \d warning\n$", result.stdout)
    assert "\x1b" not in result.stdout
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32mok       \x1b[0m" in amili("--sandbox", FORCE_COLOR="1", TERM="xterm-256color").stdout


def test_the_document_of_the_command() -> None:
    """`--json` prints one document with stable names, and the exit code is 1 if a check failed."""
    result = amili("--json", AMILI_BASE_URL="https://localhost:1", AMILI_TOKEN="t", AMILI_TIMOUT="5")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert list(document) == ["status", "checks"]
    assert document["status"] == "failed"
    assert [check["name"] for check in document["checks"]] == list(NEEDS)
    assert {tuple(check) for check in document["checks"]} == {("name", "status", "message", "advice")}
    by_name = {check["name"]: check for check in document["checks"]}
    assert by_name["configuration"]["status"] == "warning"
    assert "AMILI_TIMOUT is not read: did you mean AMILI_TIMEOUT?" in by_name["configuration"]["message"]
    assert by_name["tcp"]["status"] == "failed"


def test_faults_are_in_the_words_of_the_command_line() -> None:
    """Variables are named, not the arguments of the library."""
    result = amili(AMILI_BASE_URL="http://amili.example", AMILI_TOKEN="t")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert "failed configuration AMILI_BASE_URL must be https" in text
    assert "AMILI_ALLOW_HTTP=1 permits it" in text
    assert "base_url" not in text
    assert "skipped dns not checked: configuration failed" in text
