"""The way to the API: a proxy of the environment, authorities of one's own, client certificates, plain http."""

import asyncio
import os
import ssl
import sys
from pathlib import Path

import aiohttp
import pytest

from amili_async import AmiliClient
from amili_async.errors import ConfigurationError, ConnectionFailed
from tests.support.certificates import make_certificate
from tests.support.networks import serve_proxy, serve_tls
from tests.support.starting import StartSandbox

VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Variables of this machine have no effect."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


async def test_the_proxy_of_the_environment_is_used(
    environ: pytest.MonkeyPatch, start_sandbox: StartSandbox, tmp_path: Path
) -> None:
    """HTTPS_PROXY with a user and a password; the proxy gets them, and no API request in clear."""
    sandbox = await start_sandbox()
    server = make_certificate(tmp_path, host="localhost")
    environ.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    async with serve_tls(sandbox, server) as url, serve_proxy(login="me:p@ss") as (port, targets):
        environ.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{port}")
        async with AmiliClient(url, auth=sandbox.token()) as amili:
            assert await amili.payouts.count() == 5
        assert targets == [url.removeprefix("https://")]
        assert all("proxy-authorization" not in request.headers for request in sandbox.requests)
        environ.setenv("HTTPS_PROXY", f"http://me:wrong@127.0.0.1:{port}")
        async with AmiliClient(url, auth=sandbox.token()) as amili:
            with pytest.raises(ConnectionFailed, match="the proxy answered 407, check its user and password") as caught:
                await amili.payouts.count()
        assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("refusal", ["NO_PROXY", "trust_env", "session"])
async def test_the_proxy_of_the_environment_can_be_refused(
    refusal: str, environ: pytest.MonkeyPatch, start_sandbox: StartSandbox, tmp_path: Path
) -> None:
    """By NO_PROXY, by trust_env=False, and by a session, which has a proxy of its own or none."""
    sandbox = await start_sandbox()
    make_certificate(tmp_path, host="localhost")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "both.pem")
    async with serve_tls(sandbox, server) as url, serve_proxy() as (port, targets):
        environ.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        if refusal == "NO_PROXY":
            environ.setenv("NO_PROXY", "example.com,localhost")
            client = AmiliClient(url, auth=sandbox.token(), ssl=trusting)
        elif refusal == "trust_env":
            client = AmiliClient(url, auth=sandbox.token(), ssl=trusting, trust_env=False)
        else:
            connector = aiohttp.TCPConnector(ssl=trusting)
            session = aiohttp.ClientSession(connector=connector)
            client = AmiliClient(url, auth=sandbox.token(), session=session)
        async with client as amili:
            assert await amili.payouts.count() == 5
        if refusal == "session":
            await session.close()
    assert targets == []


async def test_plain_http_to_this_machine_never_passes_a_proxy(
    environ: pytest.MonkeyPatch, start_sandbox: StartSandbox
) -> None:
    """A credential in clear does not leave the machine, whatever HTTP_PROXY names."""
    sandbox = await start_sandbox()
    async with serve_proxy() as (port, targets):
        environ.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        async with AmiliClient(sandbox.url, auth=sandbox.token()) as amili:
            assert await amili.payouts.count() == 5
    assert targets == []


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://", "http://127.0.0.1:port", "ftp://secret@host"])
async def test_a_proxy_that_is_no_url_is_named(proxy: str, environ: pytest.MonkeyPatch) -> None:
    """At open(), without the value, which can hold a password."""
    environ.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY or HTTP_PROXY is no URL") as caught:
        await AmiliClient(auth="token").open()
    assert "secret" not in str(caught.value)


async def test_authorities_of_ones_own(
    environ: pytest.MonkeyPatch, start_sandbox: StartSandbox, tmp_path: Path
) -> None:
    """SSL_CERT_FILE, AMILI_CA_FILE and ssl= make a certificate trusted; trust_env=False does not read the variable."""
    sandbox = await start_sandbox()
    server, file = make_certificate(tmp_path, host="localhost"), str(tmp_path / "certificate.pem")
    async with serve_tls(sandbox, server) as url:
        variables = {"AMILI_BASE_URL": url, "AMILI_TOKEN": sandbox.token()}
        trusting = [
            AmiliClient.from_env(variables | {"AMILI_CA_FILE": file}),
            AmiliClient.from_env(variables, ssl=ssl.create_default_context(cafile=file)),
        ]
        for client in trusting:
            async with client as amili:
                assert await amili.payouts.count() == 5
        environ.setenv("SSL_CERT_FILE", file)
        async with AmiliClient.from_env(variables) as amili:
            assert await amili.payouts.count() == 5
        async with AmiliClient.from_env(variables, trust_env=False) as amili:
            with pytest.raises(ConnectionFailed, match="self-signed certificate"):
                await amili.payouts.count()


async def test_a_client_certificate(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    """A server that demands one gets that of the context in ssl=."""
    sandbox = await start_sandbox()
    server, file = make_certificate(tmp_path, host="localhost"), str(tmp_path / "certificate.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(file)
    context = ssl.create_default_context(cafile=file)
    context.load_cert_chain(tmp_path / "both.pem")
    async with serve_tls(sandbox, server) as url, AmiliClient(url, auth=sandbox.token(), ssl=context) as amili:
        assert await amili.payouts.count() == 5


def test_plain_http_needs_consent() -> None:
    """allow_http accepts a private address or a name, never a public address."""
    for host in ("10.0.0.8", "amili.internal", "[fd00::1]"):
        with pytest.raises(ConfigurationError, match=r"must be https.*allow_http"):
            AmiliClient(f"http://{host}", auth="token")
        AmiliClient(f"http://{host}", auth="token", allow_http=True)
    with pytest.raises(ConfigurationError, match="this address is public"):
        AmiliClient("http://8.8.8.8", auth="token", allow_http=True)


def test_what_is_no_context_is_rejected() -> None:
    """ssl=False would switch the verification off in aiohttp; a session has a context of its own."""
    with pytest.raises(ConfigurationError, match=r"must be an ssl\.SSLContext"):
        AmiliClient(auth="token", ssl=False)  # type: ignore[arg-type]


async def test_the_command_line_uses_a_proxy_and_authorities(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    """`amili --proxy URL --ca-file FILE` reaches the API through the proxy, and trusts the file's authorities."""
    sandbox = await start_sandbox()
    server, file = make_certificate(tmp_path, host="localhost"), str(tmp_path / "certificate.pem")
    async with serve_tls(sandbox, server) as url, serve_proxy() as (port, targets):
        command = (sys.executable, "-m", "amili_async", "--proxy", f"http://127.0.0.1:{port}", "--ca-file", file)
        process = await asyncio.create_subprocess_exec(
            *(*command, "list", "payouts", "--json"),
            env=os.environ | {"AMILI_BASE_URL": url, "AMILI_TOKEN": sandbox.token()},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
    assert process.returncode == 0
    assert len(printed.splitlines()) == 5
    assert targets == [url.removeprefix("https://")]


async def test_the_sandbox_can_listen_on_another_address() -> None:
    """It prints the variables with which another machine reaches it, consent to plain http included."""
    command = (sys.executable, "-m", "amili_async", "sandbox", "--host", "0.0.0.0", "--payouts", "3")  # noqa: S104
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    try:
        lines = [(await process.stdout.readline()).decode() for _ in range(3)]
        variables = dict(item.split("=", 1) for line in lines[1:] for item in line.removeprefix("export ").split())
        assert "closed" in repr(AmiliClient.from_env(variables))
        port = variables["AMILI_BASE_URL"].rpartition(":")[2]
        async with AmiliClient.from_env(variables | {"AMILI_BASE_URL": f"http://127.0.0.1:{port}"}) as amili:
            assert await amili.payouts.count() == 3
    finally:
        process.terminate()
        await process.communicate()
    assert variables["AMILI_ALLOW_HTTP"] == "1"
