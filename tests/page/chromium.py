"""Headless Chromium, driven over the DevTools protocol with aiohttp's WebSocket client."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_S = 30.0
ANSWER_S = 40.0
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
_FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--force-color-profile=srgb",
    # The page must live without anything else than its own server.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# Virtual key codes of the keys that the tests press.
_KEYS = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    " ": 32,
    "PageUp": 33,
    "PageDown": 34,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}


def find_chromium() -> str | None:
    """Path of the browser in $PATH, None when there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def probe(name: str) -> str:
    """A script of the folder `probes`, as an expression."""
    return (Path(__file__).parent / "probes" / f"{name}.js").read_text()


@contextlib.contextmanager
def running(binary: str, profile: Path) -> Iterator[str]:
    """A browser process; yields the WebSocket address of its debugger. All it started ends with it."""
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    log = (profile.parent / f"{profile.name}.log").open("wb")
    process = subprocess.Popen(
        [binary, *_FLAGS, *root, f"--user-data-dir={profile}", "about:blank"],
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield _debugger(process, profile / "DevToolsActivePort")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def _debugger(process: subprocess.Popen[bytes], port_file: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if port_file.exists() and len(lines := port_file.read_text().split()) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise RuntimeError(f"the browser ended with {process.wait(0.05)}")
    raise TimeoutError(f"the browser has no debugger within {START_S:g} s")


class Page:
    """One tab. What it printed, asked for and threw is kept for the test to look at."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._session = ""
        self._numbers = itertools.count(1)
        self._loaded = asyncio.Event()
        self._network_changed = False
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def listen(self) -> None:
        """Takes answers and events until the socket is closed."""
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                self._answers.pop(event["id"]).set_result(event)
            else:
                self._note(event.get("method", ""), event["params"])

    async def open(self) -> str:
        """A tab in a context of its own, as after a new installation; returns the context."""
        context = (await self.send("Target.createBrowserContext"))["browserContextId"]
        target = await self.send("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
            await self.send(f"{domain}.enable")
        return context

    async def close(self, context: str) -> None:
        self._session = ""
        await self.send("Target.disposeBrowserContext", browserContextId=context)

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its result; RuntimeError with the browser's words when it refuses."""
        number = next(self._numbers)
        command: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        self._answers[number] = answer = asyncio.get_running_loop().create_future()
        await self._socket.send_json(command)
        async with asyncio.timeout(ANSWER_S):
            event = await answer
        if "error" in event:
            raise RuntimeError(f"{method}: {event['error']['message']}")
        return event["result"]

    async def goto(self, url: str) -> None:
        """Goes there and waits for the load event, unless only the part behind # is another one."""
        async with asyncio.timeout(ANSWER_S):
            while not await self._went(url):
                pass

    async def _went(self, url: str) -> bool:
        """False when an interface of this machine came or went meanwhile: Chromium then gives up all that it loads."""
        self._loaded.clear()
        self._network_changed = False
        answer = await self.send("Page.navigate", url=url)
        if "loaderId" in answer:
            await self._loaded.wait()
        if error := answer.get("errorText", "").replace(NETWORK_CHANGED, ""):
            raise RuntimeError(f"{url}: {error}")
        return not self._network_changed

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited; RuntimeError with what it threw."""
        answer = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"]
            raise RuntimeError(thrown.get("exception", {}).get("description", thrown["text"]))
        return answer["result"].get("value")

    async def until(self, script: str, *, timeout: float = 40.0) -> Any:
        """The value of an expression as soon as it is true."""
        deadline = time.monotonic() + timeout
        while not (value := await self.run(script)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout:g} s: {script} (last value {value!r})")
            await asyncio.sleep(0.03)
        return value

    async def text(self, selector: str) -> str:
        return await self.run(f"document.querySelector({json.dumps(selector)}).textContent")

    async def texts(self, selector: str) -> list[str]:
        return await self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.textContent)")

    async def click(self, selector: str) -> None:
        """With the mouse, in the middle of an element."""
        place = await self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            " one.scrollIntoView({ block: 'center' }); const r = one.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    async def press(self, key: str, *, shift: bool = False) -> None:
        code = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": _KEYS[key]}
        written = {"Enter": "\r", " ": " "}.get(key)
        down = {"type": "keyDown", "text": written} if written else {"type": "rawKeyDown"}
        for kind in (down, {"type": "keyUp"}):
            await self.send("Input.dispatchKeyEvent", **code, **kind, modifiers=8 if shift else 0)

    async def write(self, text: str) -> None:
        """Types into what has the focus."""
        await self.send("Input.insertText", text=text)

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )

    async def prefer(self, **features: str) -> None:
        """Media features with _ for -: prefers_color_scheme="dark"."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.send("Emulation.setEmulatedMedia", features=named)

    async def metrics(self) -> dict[str, float]:
        """Seconds that the tab has spent by kind: ScriptDuration, LayoutDuration, RecalcStyleDuration, TaskDuration."""
        return {one["name"]: one["value"] for one in (await self.send("Performance.getMetrics"))["metrics"]}

    async def screenshot(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])

    def _note(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Network.loadingFailed" if params["errorText"] == NETWORK_CHANGED:
                self._network_changed = True
            case "Log.entryAdded" if NETWORK_CHANGED in params["entry"]["text"]:
                pass
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description", details["text"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.errors.append(" ".join(str(one.get("value", one.get("description"))) for one in params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}".strip())
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])


@contextlib.asynccontextmanager
async def new_page(debugger: str) -> AsyncIterator[Page]:
    """A tab of the browser behind `debugger`; it is closed with the block."""
    async with aiohttp.ClientSession() as session, session.ws_connect(debugger, max_msg_size=0) as socket:
        page = Page(socket)
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(page.listen())
                context = await page.open()
                try:
                    yield page
                finally:
                    await page.close(context)
                    listening.cancel()
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None  # a failed assertion is to be read as one
