"""All ways to a token, with the sandbox's token endpoint, which verifies the JWT."""

import asyncio

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from amili_async import ApiCodeCredentials, RetryPolicy, Token
from amili_async.errors import AuthenticationError, ConnectionFailed, TimedOut, UnreadableResponse
from amili_async.sandbox import Fault
from tests.support.clocks import HastyClock, PassingTime, is_python_loop, on_clock
from tests.support.starting import Connect, StartSandbox

TOKEN_PATH = "/authenticates/api-code"


def pem_pair(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> tuple[str, str]:
    """Private and public half."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


RSA_KEY = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), None),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (RSA_KEY, None),
        (RSA_KEY, "RS384"),
        (RSA_KEY, "RS512"),
    ],
    ids=["ES256", "ES384", "ES512", "RS256", "RS384", "RS512"],
)
async def test_every_algorithm_of_the_api_works(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    algorithm: str | None,
    start_sandbox: StartSandbox,
    connect: Connect,
) -> None:
    """A JWT signed with each of the six algorithms is exchanged for a token that works."""
    private, public = pem_pair(key)
    sandbox = await start_sandbox(public_key=public)
    amili = await connect(sandbox, auth=ApiCodeCredentials(sandbox.api_code, private, algorithm=algorithm))
    assert await amili.payouts.count() == 5
    assert [request.path for request in sandbox.requests] == [TOKEN_PATH, "/finance--payouts"]


@pytest.mark.parametrize("wrong", ["key", "code"])
async def test_rejected_credentials_are_an_authentication_error(
    wrong: str, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A key or code that is not registered is not retried; the error names what can be wrong, and quotes nothing."""
    sandbox = await start_sandbox()
    stranger, _ = pem_pair(ec.generate_private_key(ec.SECP256R1()))
    code, key = ("code-9921", sandbox.private_key) if wrong == "code" else (sandbox.api_code, stranger)
    amili = await connect(sandbox, auth=ApiCodeCredentials(code, key))
    with pytest.raises(AuthenticationError) as caught:
        await amili.payouts.count()
    assert str(caught.value) == (
        "GET /authenticates/api-code was rejected with 401: check the API code, that the public half of the private "
        "key is registered with Amili for it, and base_url; this machine's clock agrees with the server's"
    )
    assert caught.value.status == 401
    assert len(sandbox.requests) == 1


@pytest.fixture
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sandboxes reject a JWT that lives longer than the ten minutes of the API's guide."""
    monkeypatch.setattr("amili_async.sandbox.tokens.MAX_JWT_LIFETIME", 600.0)


@pytest.mark.usefixtures("_strict")
@pytest.mark.parametrize("ahead", [-100_000.0, -700.0, -31.0, 580.0, 700.0, 100_000.0])
async def test_a_jwt_is_signed_once_more_by_the_clock_of_the_server(
    ahead: float, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A server that rejects our time gets its own, in this exchange and at once in the next ones."""
    sandbox = await start_sandbox(clock=lambda: clock.wall() + ahead)
    amili = await connect(sandbox)
    for _ in range(2):
        assert await amili.payouts.count() == 5
        sandbox.revoke_tokens()
    statuses = [request.status for request in sandbox.requests if request.path == TOKEN_PATH]
    assert statuses == [401, 200, 200]


@pytest.mark.usefixtures("_strict")
@pytest.mark.parametrize("ahead", [-28.0, -2.0, 0.0, 2.0, 540.0])
async def test_a_small_difference_of_the_clocks_costs_nothing(
    ahead: float, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A server that is strict about ten minutes accepts the first JWT, since it lives half a minute less."""
    sandbox = await start_sandbox(clock=lambda: clock.wall() + ahead)
    amili = await connect(sandbox)
    assert await amili.payouts.count() == 5
    assert [request.status for request in sandbox.requests] == [200, 200]


async def test_a_clock_that_is_not_the_reason_is_named_too(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """With a wrong key and another clock two JWTs are sent, and the next exchange begins with our own time again."""
    sandbox = await start_sandbox(clock=lambda: clock.wall() + 700)
    stranger, _ = pem_pair(ec.generate_private_key(ec.SECP256R1()))
    amili = await connect(sandbox, auth=ApiCodeCredentials(sandbox.api_code, stranger))
    for attempts in (2, 4):
        with pytest.raises(AuthenticationError, match=r"clock is (699|700) s behind the server's, whose time"):
            await amili.payouts.count()
        assert len(sandbox.requests) == attempts


async def test_a_rejection_without_a_date_names_the_clock(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Where nothing can be compared, the error advises to check it."""
    sandbox = await start_sandbox()
    sandbox.fail(Fault(status=401, headers={"Date": ""}), path=TOKEN_PATH)
    amili = await connect(sandbox)
    with pytest.raises(AuthenticationError, match="check this machine's clock too"):
        await amili.payouts.count()
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_any_rejection_by_the_token_endpoint_is_an_authentication_error(
    status: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Whatever the status, the error is about the credentials."""
    sandbox = await start_sandbox()
    sandbox.fail(Fault(status=status), path=TOKEN_PATH)
    amili = await connect(sandbox)
    with pytest.raises(AuthenticationError, match=f"rejected with {status}"):
        await amili.payouts.count()


async def test_a_fixed_token_works_until_it_is_revoked(start_sandbox: StartSandbox, connect: Connect) -> None:
    """With a str there is no token request, and a 401 is an error."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token())
    assert await amili.payouts.count() == 5
    sandbox.revoke_tokens()
    with pytest.raises(AuthenticationError):
        await amili.payouts.count()
    assert [request.path for request in sandbox.requests] == ["/finance--payouts"] * 2


async def test_a_function_can_be_the_token_source(start_sandbox: StartSandbox, connect: Connect) -> None:
    """An async function that returns a Token is called again after a 401."""
    sandbox = await start_sandbox()
    calls = []

    async def fetch() -> Token:
        calls.append(1)
        return Token(value=sandbox.token(), lifetime=60)

    amili = await connect(sandbox, auth=fetch)
    await amili.payouts.count()
    sandbox.revoke_tokens()
    await amili.payouts.count()
    assert len(calls) == 2


async def test_an_expired_token_is_replaced_before_it_is_used(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """An expired token causes a refresh, but no 401."""
    sandbox = await start_sandbox(token_lifetime=600)
    amili = await connect(sandbox)
    await amili.payouts.count()
    clock.skip(601)
    await amili.payouts.count()
    assert [request.status for request in sandbox.requests] == [200] * 4


async def test_a_token_request_is_retried(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A 503 and a reset are retried as for any GET."""
    sandbox = await start_sandbox()
    sandbox.fail(Fault.unavailable(), path=TOKEN_PATH)
    sandbox.fail(Fault(reset="before"), path=TOKEN_PATH)
    amili = await connect(sandbox)
    assert await amili.payouts.count() == 5


@pytest.mark.parametrize("body", ["{}", '{"access_token": ""}', '{"access_token": 5}', "[]", '{"_status": "OK"}'])
async def test_a_response_without_a_token_is_an_authentication_error(
    body: str, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """The error names the fields that could have held it."""
    sandbox = await start_sandbox()
    sandbox.fail(Fault(status=200, body=body), path=TOKEN_PATH)
    amili = await connect(sandbox)
    with pytest.raises(AuthenticationError, match="access_token"):
        await amili.payouts.count()


@pytest.mark.parametrize("body", ["", "<html>welcome</html>", '{"access_token": "ab'])
async def test_a_token_response_that_is_no_json_is_a_failed_attempt(
    body: str, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """It is retried; if it lasts, the error names the request."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    sandbox.fail(Fault(status=200, body=body), path=TOKEN_PATH)
    assert await amili.payouts.count() == 5
    sandbox.revoke_tokens()
    sandbox.fail(Fault(status=200, body=body), path=TOKEN_PATH, times=None)
    with pytest.raises(ConnectionFailed, match=r"^GET /authenticates/api-code: the response .* is no complete JSON"):
        await amili.payouts.count()


async def test_a_token_source_that_hangs_is_limited_by_the_timeout(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """One attempt lasts as long as the timeout permits, its token included; a payment is known not to be sent."""
    sandbox = await start_sandbox()
    has_hung = False

    async def source() -> str:
        nonlocal has_hung
        if not has_hung:
            has_hung = True
            await asyncio.Event().wait()
        return sandbox.token()

    timeout = 30.0 if is_python_loop() else 0.5
    amili = await connect(sandbox, auth=source, timeout=timeout, retry=RetryPolicy(attempts=1))
    time = PassingTime()
    time.start()
    with pytest.raises(TimedOut, match=rf"the token source returned no token within {timeout:g} s") as caught:
        await amili.payouts.count()
    time.stop()
    assert caught.value.was_not_processed
    assert await amili.payouts.count() == 5


async def test_get_valid_token_returns_the_token_itself(start_sandbox: StartSandbox, connect: Connect) -> None:
    """client.auth.get_valid_token() is the call of the API's guide, and causes one request in all."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    tokens = await asyncio.gather(*(amili.auth.get_valid_token() for _ in range(20)))
    assert len(set(tokens)) == 1
    assert len(sandbox.requests) == 1
    other = await connect(sandbox, auth=tokens[0])
    assert await other.payouts.count() == 5


async def test_credentials_from_the_environment(
    start_sandbox: StartSandbox, tmp_path: object, clock: HastyClock
) -> None:
    """from_env reads the host, and a token or an API code with a key, in a file or in the variable itself."""
    from pathlib import Path

    sandbox = await start_sandbox()
    key_file = Path(str(tmp_path)) / "key.pem"
    key_file.write_text(sandbox.private_key)
    by_code = {"AMILI_API_CODE": sandbox.api_code, "AMILI_PRIVATE_KEY_FILE": str(key_file)}
    by_key = {"AMILI_API_CODE": sandbox.api_code, "AMILI_PRIVATE_KEY": sandbox.private_key}
    in_one_line = by_key | {"AMILI_PRIVATE_KEY": sandbox.private_key.strip().replace("\n", "\\n")}
    for variables in ({"AMILI_TOKEN": sandbox.token()}, by_code, by_key, in_one_line):
        environ = {"AMILI_BASE_URL": sandbox.url, **variables}
        async with on_clock(clock).from_env(environ) as amili:
            assert await amili.payouts.count() == 5


async def test_a_redirect_of_the_token_endpoint_is_not_followed(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A redirect is an error, and the JWT is not sent to the other host."""
    sandbox, elsewhere = await start_sandbox(), await start_sandbox()
    sandbox.fail(Fault(status=302, body="", headers={"Location": f"{elsewhere.url}{TOKEN_PATH}"}), path=TOKEN_PATH)
    amili = await connect(sandbox)
    with pytest.raises(Exception, match="redirects are not followed") as caught:
        await amili.payouts.count()
    assert not isinstance(caught.value, ConnectionFailed | UnreadableResponse)
    assert elsewhere.requests == []
