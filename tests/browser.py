"""A real browser for tests: Chromium without a window, driven over its own debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# as root and in containers there is no sandbox to be had; nothing here may look for the network
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--remote-debugging-pipe"),
)
PATIENCE = 30
"""Seconds without a word from the browser after which a test has failed."""


class Browser:
    """One page in a browser; `complaints` collects what its console says: errors, refusals, exceptions."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._waiting = b""
        self._number = 0
        self._session: dict[str, str] = {}
        self._events: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {
            "sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        }
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self._events.append(answer)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def open(self, page: Path, address: str = "") -> None:
        """Load a file from disk, with `address` behind its #, and wait until it is all there and drawn."""
        self.call("Page.navigate", url="about:blank")  # or another address would be no new page
        self._events.clear()
        loader = self.call("Page.navigate", url=f"{page.as_uri()}{address and '#' + address}")["loaderId"]
        while not any(
            event.get("method") == "Page.lifecycleEvent"
            and (event["params"]["loaderId"], event["params"]["name"]) == (loader, "load")
            for event in self._events
        ):
            self._events.append(self._read())
        self.screenshot()

    def evaluate(self, script: str) -> Any:
        """Return the value of a script in the page; what it throws fails the test."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as a person does."""
        for key in keys:
            # Enter acts on what has the focus only with the text that it types
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            down = {"key": key, "code": key, "windowsVirtualKeyCode": _VIRTUAL.get(key, ord(key[0].upper()))}
            self.call("Input.dispatchKeyEvent", type="keyDown", **down, **({"text": text} if text else {}))
            self.call("Input.dispatchKeyEvent", type="keyUp", **down)
            self._settle()

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element."""
        where = self.hover(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **where)
        self._settle()

    def hover(self, selector: str) -> dict[str, float]:
        """Bring the mouse to the middle of an element, and return where that is."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{found}.scrollIntoView({{ block: 'center' }})")
        x, y, width, height = (
            self.evaluate(f"{found}.getBoundingClientRect().{side}") for side in ("x", "y", "width", "height")
        )
        where = {"x": x + width / 2, "y": y + height / 2}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **where)
        self._settle()
        return where

    def resize(self, width: int, height: int) -> None:
        """Give the page this many pixels, one for each of its own."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, media: str = "", **features: str) -> None:
        """Set what the reader's system prefers, such as prefers_color_scheme="dark", or print as `media`."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", media=media, features=wanted)

    def screenshot(self) -> NDArray[np.uint8]:
        """Return what is to be seen, (height, width, 3) BGR uint8."""
        data = base64.b64decode(self.call("Page.captureScreenshot")["data"])
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        return np.asarray(picture, np.uint8)

    def _settle(self) -> None:
        """Wait until the page has done what follows from an event."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            if not select.select([self._receive], [], [], PATIENCE)[0]:
                raise AssertionError(f"the browser has said nothing for {PATIENCE} s")
            content = os.read(self._receive, 1 << 20)
            if not content:
                raise AssertionError("the browser has gone: see chromium.log beside its profile")
            self._waiting += content
        text, _, self._waiting = self._waiting.partition(b"\0")
        event: dict[str, Any] = json.loads(text)
        self._note(event.get("method"), event.get("params", {}))
        return event

    def _note(self, method: str | None, said: Mapping[str, Any]) -> None:
        if method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(said["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([value.get("value") for value in said["args"]]))
        elif method == "Network.requestWillBeSent" and not said["request"]["url"].startswith(
            ("file:", "data:", "about:")
        ):
            self.complaints.append(f"asked for {said['request']['url']}")


_VIRTUAL = {
    "Enter": 13,
    "Escape": 27,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Tab": 9,
}


# where Chromium looks for its debugging pipe; the pipes' own numbers may be just these
_WITH_PIPES_AT_3_AND_4 = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile, and end it."""
    assert CHROMIUM is not None
    to_browser, from_browser = os.pipe(), os.pipe()
    pipes = (to_browser[0], from_browser[1])
    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _WITH_PIPES_AT_3_AND_4, *map(str, pipes)),
                *(CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=pipes,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    os.close(to_browser[0])
    os.close(from_browser[1])
    try:
        yield Browser(to_browser[1], from_browser[0])
    finally:
        process.terminate()
        process.wait(PATIENCE)
        os.close(to_browser[1])
        os.close(from_browser[0])
