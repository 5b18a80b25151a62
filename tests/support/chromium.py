"""A headless Chromium, driven over the DevTools protocol: opens a page at a width and evaluates expressions in it."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars")
LISTENING = re.compile(rb"DevTools listening on (ws://\S+)")


class Tab:
    """One page in the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._session: str | None = None
        self.requested: list[str] = []
        """Every requested URL."""

    async def create(self) -> None:
        """Create the tab."""
        target = (await self.do("Target.createTarget", url="about:blank"))["targetId"]
        self._session = (await self.do("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        await self.do("Network.enable")
        await self.do("Page.enable")

    async def open(self, path: Path, *, width: int, dark: bool = False) -> None:
        """Load a file on a screen *width* pixels wide."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.do("Emulation.setEmulatedMedia", features=[scheme])
        await self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        await self.do("Page.navigate", url=path.as_uri())
        async with asyncio.timeout(60):
            while await self.evaluate("document.readyState + location.protocol") != "completefile:":  # noqa: ASYNC110 - no event covers both
                await asyncio.sleep(0.02)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def do(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result."""
        number = next(self._numbers)
        session = {} if self._session is None else {"sessionId": self._session}
        await self._socket.send_json({"id": number, "method": method, "params": parameters, **session})
        async with asyncio.timeout(60):
            while (message := await self._socket.receive_json()).get("id") != number:
                if message.get("method") == "Network.requestWillBeSent":
                    self.requested.append(message["params"]["request"]["url"])
        assert "error" not in message, message
        return message["result"]


@asynccontextmanager
async def open_browser(profile: Path) -> AsyncIterator[Tab]:
    """A browser with an empty profile and one tab; `AssertionError` where none is installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program is not None, "these tests need Chromium: apt-get install chromium"
    process = await asyncio.create_subprocess_exec(
        program, *FLAGS, f"--user-data-dir={profile}", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while (found := LISTENING.search(await process.stderr.readline())) is None:
                assert not process.stderr.at_eof(), "the browser exited"
        async with aiohttp.ClientSession() as session, session.ws_connect(found[1].decode(), max_msg_size=0) as socket:
            tab = Tab(socket)
            await tab.create()
            yield tab
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
