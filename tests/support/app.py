"""The app as a process of its own, and how to talk to it without a browser."""

import http.client
import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.support import ROOT, until

REFUSED = "That did not work"  # the title of every toast of ours


# As `python app.py`, less what need not be loaded before it is asked for.
START = "import app; app.start_in_background = lambda: None; app.main()"


@dataclass(frozen=True)
class Answer:
    """What came back: the HTTP status, the words, and what an event gave (None where it gave nothing)."""

    status: int
    text: str
    data: Any = None
    title: str = ""

    @property
    def refused(self) -> bool:
        """By HTTP, by a toast with our words, or by a panel that says what is wrong."""
        return 400 <= self.status < 500 or self.title == REFUSED or "bs-problem" in self.text


@dataclass
class App:
    """A running app, and how to talk to it: as one of its pages does, or byte by byte."""

    port: int
    home: Path
    uploads: Path
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
        try:
            connection.request(method, path, body, self.headers | (headers or {}))
            answer = connection.getresponse()
            try:
                return Answer(answer.status, answer.read().decode("utf-8", "replace"))
            except http.client.IncompleteRead as cut:  # a stream that was ended
                return Answer(answer.status, cut.partial.decode("utf-8", "replace"))
        finally:
            connection.close()

    def post(self, path: str, body: Any) -> Answer:
        coded = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, coded, {"content-type": "application/json"})

    def event(self, fn_index: Any, data: list[Any], event_data: Any = None) -> Answer:
        """The event's answer, by the way that a page takes."""
        session = uuid.uuid4().hex
        body = {"fn_index": fn_index, "data": data, "session_hash": session, "event_data": event_data}
        joined = self.post("/gradio_api/queue/join", body)
        if joined.status != 200:
            return joined
        for line in self.send("GET", f"/gradio_api/queue/data?session_hash={session}").text.splitlines():
            message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            if message.get("msg") == "process_completed":
                output = message["output"]
                return Answer(200, json.dumps(output), output.get("data"), message.get("title") or "")
        raise AssertionError("the event never ended")

    def upload(self, name: str, content: bytes) -> Answer:
        edge = "edge-of-the-parts"
        disposition = f'Content-Disposition: form-data; name="files"; filename="{name}"'
        head = f"--{edge}\r\n{disposition}\r\nContent-Type: text/csv\r\n\r\n"
        body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
        kind = {"content-type": f"multipart/form-data; boundary={edge}"}
        return self.send("POST", "/gradio_api/upload", body, kind)


def start(folder: Path, home: Path, **settings: str) -> tuple[App, subprocess.Popen[bytes]]:
    app = App(free_port(), home, folder / "uploads", folder / "app.log")
    own = {"BERTSPACE_HOME": str(home), "GRADIO_TEMP_DIR": str(app.uploads), "OMP_NUM_THREADS": "1"}
    return app, launched([sys.executable, "-c", START], app.port, app.log, own | settings)


def wait_for(app: App, process: subprocess.Popen[bytes]) -> None:
    until_it_answers(f"http://127.0.0.1:{app.port}/config", process, app.log)


@contextmanager
def running(log_file: Path, **variables: str) -> Iterator[str]:
    """The address of an app that runs within the block, with these variables beside the test's own."""
    port = free_port()
    own = {"GRADIO_SERVER_NAME": "127.0.0.1"} | variables
    process = launched([sys.executable, "app.py"], port, log_file, own)
    url = f"http://127.0.0.1:{port}"
    try:
        until_it_answers(url, process, log_file)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def launched(
    command: list[str], port: int, log_file: Path, variables: dict[str, str]
) -> subprocess.Popen[bytes]:
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port)} | variables
    with log_file.open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(url, timeout=60):
                return True
        except OSError:
            return False

    until(answers, f"{url} does not answer")
