"""Chromium without a window, spoken to over its own pipe: no driver, no port."""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


class Browser:
    """One page of a browser that is started for it, with a profile of its own."""

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        ours, its = os.pipe(), os.pipe()
        command = shlex.join([PROGRAM, *FLAGS, f"--user-data-dir={self._profile.name}"])
        # It reads from descriptor 3 and writes to descriptor 4; a shell gives the pipes these numbers.
        line = f"exec {command} --remote-debugging-pipe 3<&{ours[0]} 4>&{its[1]}"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(["bash", "-c", line], pass_fds=(ours[0], its[1]), **quiet)
        os.close(ours[0])
        os.close(its[1])
        self._out, self._in = os.fdopen(ours[1], "wb", 0), os.fdopen(its[0], "rb", 0)
        self._rest, self._calls, self._session = b"", 0, {}
        pages = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in pages if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self.call("Page.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._in.close()
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command of Chromium's protocol."""
        self._calls += 1
        asked = {"id": self._calls, "method": method, "params": parameters, **self._session}
        self._out.write(json.dumps(asked).encode() + b"\0")
        answer = self._until(lambda message: message.get("id") == self._calls)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def open(
        self, page: Path, *, width: int = 1280, media: str = "", dark: bool = False, scripts: bool = True
    ) -> None:
        """Load a page as a screen of this width, or another medium, shows it."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=page.absolute().as_uri())
        self._until(lambda message: message.get("method") == "Page.loadEventFired")

    def value(self, script: str) -> Any:
        """The value of a JavaScript expression on the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _until(self, wanted: Any) -> dict[str, Any]:
        while True:
            while b"\0" not in self._rest:
                more = self._in.read(1 << 16)
                assert more, "the browser ended"
                self._rest += more
            message, self._rest = self._rest.split(b"\0", 1)
            if wanted(found := json.loads(message)):
                return dict(found)
