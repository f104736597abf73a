"""An S3 server on this machine: moto behind a socket, which notes what it is asked and can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import fsspec
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

HOST = "127.0.0.1"


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  werkzeug's name
        """Say nothing."""


class Server:
    """What was asked is in `requests`, in order, such as ("PUT", "/bucket/key").

    A PUT to a path that holds `stop_at` is the last: it finds no answer, and nothing after it.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.stop_at = ""
        self._store = DomainDispatcherApplication(create_backend_app)
        self._port = 0
        self._stopped = threading.Event()
        self.start()

    @property
    def url(self) -> str:
        """Return where the server listens."""
        return f"http://{HOST}:{self._port}"

    def start(self) -> None:
        """Listen, at the port of before; what was stored is still there."""
        self.stop_at = ""
        self._stopped.clear()
        self._server = make_server(HOST, self._port, self._answer, threaded=True, request_handler=_Quiet)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and drop those that are open."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def sent(self) -> list[str]:
        """Return the paths of the objects that were put, but for the lock."""
        return [path for method, path in self.requests if method == "PUT" and not path.endswith("/lock")]

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], unquote(environ["RAW_URI"].partition("?")[0])
        if self.stop_at and method == "PUT" and self.stop_at in path:
            self.stop_at = ""
            self._stopped.set()
            threading.Thread(target=self.stop).start()
        if self._stopped.is_set():
            raise ConnectionAbortedError
        self.requests.append((method, path))
        answer: Iterable[bytes] = self._store(environ, start_response)
        return answer


class Bucket:
    """A bucket of its own, by its URL; what tests do to it goes through s3fs as well."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = f"b-{uuid4().hex[:12]}"
        self.url = f"s3://{self.name}"
        self._files.mkdir(self.name)

    @property
    def _files(self) -> Any:
        files = fsspec.filesystem("s3")
        files.invalidate_cache()
        return files

    def put(self, folder: Path, name: str) -> str:
        """Store the files below a folder; return the URL of where."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.write(f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"{self.url}/{name}"

    def write(self, name: str, content: bytes) -> None:
        """Store an object."""
        self._files.pipe_file(f"{self.name}/{name}", content)

    def read(self, name: str) -> bytes:
        """Return what an object holds."""
        content: bytes = self._files.cat_file(f"{self.name}/{name}")
        return content

    def remove(self, name: str) -> None:
        """Remove an object."""
        self._files.rm_file(f"{self.name}/{name}")

    def names(self, below: str) -> list[str]:
        """Return the names of the objects below a folder."""
        return [
            path.removeprefix(f"{self.name}/{below}/") for path in self._files.find(f"{self.name}/{below}")
        ]

    def contents(self, below: str) -> Iterator[tuple[str, bytes]]:
        """Yield the names and contents of the objects below a folder."""
        for name in self.names(below):
            yield name, self.read(f"{below}/{name}")
