"""The address: requests come in, are read within bounds and answered one at a time, or refused in one line.

Pages of a browser on this machine reach loopback as well, so a request must say that its body is JSON, which a page of
another site may not, and on loopback it must name this machine as its host, which a name that was bent here does not.
Keys are neither asked for nor written down.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from trimtab.config.complaints import lines
from trimtab.errors import TrimtabError
from trimtab.serve import formats
from trimtab.serve.asked import ChatAsked, TextAsked
from trimtab.serve.formats import Body, Format
from trimtab.serve.named import NoSuchModel
from trimtab.serve.writer import Answer, Writer

log = logging.getLogger(__name__)

LARGEST = 2**22
"""Bytes of a request's body."""

TOGETHER = 64
"""Requests that are written or wait for it."""

SILENT_S = 60
"""Seconds that a connection may say nothing."""

LOOPBACK = ("127.0.0.1", "localhost")

FILE = "the file: "
"""How a complaint begins that is about no key."""

JSON = "application/json"
EVENTS = "text/event-stream"

REFUSED, FAILED = "invalid_request_error", "server_error"

Request = TypeVar("Request", ChatAsked, TextAsked)


class Refused(Exception):
    """A request that is not answered."""

    def __init__(self, status: HTTPStatus, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Server(ThreadingHTTPServer):
    """Serves a model under an address."""

    daemon_threads = True
    request_queue_size = TOGETHER

    def __init__(self, host: str, port: int, writer: Writer) -> None:
        """
        Raises:
            TrimtabError: there is no such address here, or another program has it.
        """
        self.writer, self.began = writer, int(time.time())
        self.places = threading.BoundedSemaphore(TOGETHER)
        self.is_loopback = host in LOOPBACK
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            where = f"--host {host}, --port {port}"
            raise TrimtabError(f"{where}: {error}; expected an address of this machine and a free port") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is nobody's mistake."""
        log.debug("a connection broke", exc_info=True)

    @property
    def address(self) -> str:
        """What clients take as their base URL."""
        return f"http://{self.server_address[0]!s}:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "trimtab", ""
    timeout = SILENT_S

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, how: Callable[[str], None]) -> None:
        self._begun = False
        try:
            self._check_host()
            how(unquote(urlsplit(self.path).path).rstrip("/"))
        except Refused as refused:
            self._refuse(refused.status, formats.error(refused.message, REFUSED, refused.code))
        except NoSuchModel as error:
            self._refuse(HTTPStatus.NOT_FOUND, formats.error(str(error), REFUSED, "model_not_found"))
        except TrimtabError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, formats.error(str(error), REFUSED))
        except (ConnectionError, TimeoutError):
            # nobody waits for the rest
            self.close_connection = True
        except Exception:
            # a bug: the trace is the server's, and one line the client's
            log.exception("%s %s", self.command, self.path)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, formats.error("the server failed; its log says how", FAILED))

    def _check_host(self) -> None:
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if self.server.is_loopback and host not in LOOPBACK:
            raise Refused(HTTPStatus.FORBIDDEN, f"Host {host}: this address is loopback; expected {LOOPBACK[0]}")

    def _get(self, path: str) -> None:
        known = formats.models(self.server.writer, self.server.began)
        if path == "/v1/models":
            self._send(HTTPStatus.OK, {"object": "list", "data": known})
            return
        for each in known:
            if path == f"/v1/models/{each['id']}":
                self._send(HTTPStatus.OK, each)
                return
        raise Refused(HTTPStatus.NOT_FOUND, f"GET {path}: is not served here; expected /v1/models")

    def _post(self, path: str) -> None:
        body = self._body()
        if path == "/v1/chat/completions":
            self._serve(_read(ChatAsked, body), True)
        elif path == "/v1/completions":
            self._serve(_read(TextAsked, body), False)
        else:
            raise Refused(
                HTTPStatus.NOT_FOUND,
                f"POST {path}: is not served here; expected /v1/chat/completions or /v1/completions",
            )

    def _body(self) -> bytes:
        """
        Raises:
            Refused: it isn't JSON of a known and moderate length.
        """
        # until it is read, nothing else can come over this connection
        closes, self.close_connection = self.close_connection, True
        kind, size = self.headers.get_content_type(), self.headers.get("Content-Length", "")
        if kind != JSON:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: {kind}; expected {JSON}")
        if not (size.isascii() and size.isdecimal()) or "Transfer-Encoding" in self.headers:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "Content-Length: missing; expected the body's bytes")
        if len(size) > 12 or int(size) > LARGEST:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Content-Length: {size[:12]}; expected at most {LARGEST}"
            )
        body = self.rfile.read(int(size))
        if len(body) < int(size):
            raise ConnectionError
        self.close_connection = closes
        return body

    def _serve(self, asked: ChatAsked | TextAsked, is_chat: bool) -> None:
        if not self.server.places.acquire(blocking=False):
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, f"{TOGETHER} requests wait already; try again later")
        try:
            writer = self.server.writer
            plan = writer.plan(asked)
            form = Format(is_chat, asked.model, plan, writer.token)
            if asked.stream:
                self._stream(form, asked.stream_options is not None and asked.stream_options.include_usage)
            else:
                self._send(HTTPStatus.OK, form.whole([writer.write(task) for task in plan.tasks]))
        finally:
            self.server.places.release()

    def _stream(self, form: Format, counts: bool) -> None:
        """Answers as they are written; the connection ends with them."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", EVENTS)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self._begun = True
        found: list[Answer] = []
        for task in form.plan.tasks:
            first = len(found)
            for row in range(task.rows if form.chat else 0):
                self._event(form.begun(first + row))
            found += self.server.writer.write(task, partial(self._show, form, first))
            for row in range(first, len(found)):
                self._event(form.ended(row, found[row]))
        if counts:
            self._event(form.counted(found))
        self.wfile.write(b"data: [DONE]\n\n")

    def _show(self, form: Format, first: int, row: int, text: str) -> None:
        self._event(form.piece(first + row, text))

    def _event(self, body: Body) -> None:
        self.wfile.write(b"data: " + _json(body) + b"\n\n")

    def _refuse(self, status: HTTPStatus, body: Body) -> None:
        try:
            if self._begun:
                # of a stream whose status has long been sent
                self._event(body)
                self.close_connection = True
            else:
                self._send(status, body)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _send(self, status: HTTPStatus, body: Body) -> None:
        text = _json(body)
        self.send_response(status)
        self.send_header("Content-Type", JSON)
        self.send_header("Content-Length", str(len(text)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library refuses by itself: a request that is none, or of another kind."""
        status = HTTPStatus(code)
        self._begun, self.close_connection = False, True
        self._refuse(status, formats.error(message or status.phrase, REFUSED))

    def log_message(self, format: str, *parts: Any) -> None:
        """A line a request, where the log's level asks for it."""
        log.debug("%r", format % parts)


def _read(kind: type[Request], body: bytes) -> Request:
    """
    Raises:
        TrimtabError: the body isn't such a request.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        if first["type"] == "json_invalid":
            raise TrimtabError(f"the body is not JSON ({first['ctx']['error']})") from None
        told = "; ".join(lines(error, kind))
        # the config's complaints, whose whole is a file
        raise TrimtabError(f"the body: {told.removeprefix(FILE)}" if told.startswith(FILE) else told) from None


def _json(body: Body) -> bytes:
    return json.dumps(body, allow_nan=False).encode()
