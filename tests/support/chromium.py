"""A headless Chromium, driven over the DevTools protocol: no driver, no npm."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

INSTALL = "apt-get install -y --no-install-recommends chromium"

_FLAGS = (
    "--headless",
    "--no-sandbox",  # which root, in a container, cannot have; it sees pages of tests only
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)


def find_chromium() -> str | None:
    """The path of the browser; None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Chromium:
    """One browser with one tab, while the block lasts.

    Attributes:
        problems: what the console says of pages: errors, and violations of their policy.
    """

    def __init__(self, path: str, directory: Path) -> None:
        self._path = path
        self._directory = directory
        self._last = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._loaded = asyncio.Event()
        self.problems: list[str] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            self._path,
            *_FLAGS,
            f"--user-data-dir={self._directory}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._session = aiohttp.ClientSession()
        port = await self._port()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as response:
            (tab,) = [one for one in await response.json() if one["type"] == "page"]
        self._socket = await self._session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        for domain in ("Page", "Log", "Runtime", "Accessibility"):
            await self.call(f"{domain}.enable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()
        await self._session.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()

    async def _port(self) -> int:
        file = self._directory / "DevToolsActivePort"
        while not file.exists() or not file.read_text().strip():
            assert self._process.returncode is None, f"Chromium ended with {self._process.returncode}"
            await asyncio.sleep(0.05)
        return int(file.read_text().split()[0])

    async def _read(self) -> None:
        async for message in self._socket:
            found = message.json()
            if "id" in found:
                self._answers.pop(found["id"]).set_result(found)
            elif found["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif found["method"] == "Log.entryAdded":
                self.problems.append(found["params"]["entry"]["text"])

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A method of the protocol. Raises AssertionError if the browser refuses it."""
        self._last += 1
        answer = self._answers[self._last] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._last, "method": method, "params": params})
        found = await asyncio.wait_for(answer, 60)
        assert "error" not in found, f"{method}: {found['error']}"
        result: dict[str, Any] = found["result"]
        return result

    async def open(self, url: str) -> None:
        """Load a page, and wait for it."""
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        await self.loaded()

    async def loaded(self) -> None:
        """Wait for the page that was asked for last."""
        await asyncio.wait_for(self._loaded.wait(), 60)

    async def run(self, script: str, *, loads: bool = False) -> Any:
        """The value of an expression in the page; `loads` if it leads to another page, which is waited for."""
        if loads:
            self._loaded.clear()
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        if loads:
            await self.loaded()
        return found["result"].get("value")

    async def look(self, *, width: int, scheme: str, scale: float = 1.0) -> None:
        """Have a window of so many CSS pixels, and prefer the light or the dark scheme."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=scale, mobile=width < 600
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", media="screen", features=features)

    async def press_tab(self) -> None:
        """Go to what has the focus next."""
        for kind in ("rawKeyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)

    async def names(self) -> list[tuple[str, str]]:
        """What a screen reader is told: role and name of each element, in order."""
        found = await self.call("Accessibility.getFullAXTree")
        nodes = (one for one in found["nodes"] if not one.get("ignored") and "role" in one)
        return [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in nodes]

    async def screenshot(self, *, height: int = 0) -> bytes:
        """The page as PNG; of its upper `height` CSS pixels, if that is not 0."""
        size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        found = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(found["data"])
