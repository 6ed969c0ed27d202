"""HTTP: connections that are kept, whose every wait ends at a deadline, and that
another thread can abort; and the calls of the API on top of them."""

from __future__ import annotations

import functools
import http.client
import io
import os
import socket
import ssl
import threading
import time
import urllib.parse
import weakref
import zlib
from email.utils import parsedate_to_datetime
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from . import _json
from ._decode import DecodeError
from ._version import __version__
from .errors import ApiError
from .models import Problem

# More than any answer but a stream has.
MAX_ANSWER = 32 << 20

_IDLE_CONNECTIONS = 4


class Origin:
    """Where the server is, and what every request to it carries."""

    def __init__(
        self,
        url: str,
        headers: Optional[Mapping[str, str]] = None,
        ssl_context: Optional[ssl.SSLContext] = None,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the URL of the server, {url!r}, must begin with http://HOST or https://HOST")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("the URL of the server has no user, query or fragment; credentials go into headers")
        self.host: str = parts.hostname
        self.port: int = parts.port or (443 if parts.scheme == "https" else 80)
        self.prefix: str = parts.path.rstrip("/")
        self.ssl_context: Optional[ssl.SSLContext] = None
        if parts.scheme == "https":
            self.ssl_context = ssl_context or ssl.create_default_context()
        self.headers: Dict[str, str] = {"User-Agent": f"analytics-python/{__version__}"}
        self.headers.update(headers or {})


class Connection:
    """One kept connection, for one request at a time."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._http: Optional[_HTTPConnection] = None
        self._aborted = False

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Optional[bytes],
        deadline: float,
    ) -> http.client.HTTPResponse:
        """Send a request and return the answer, whose body is still to be read.

        The deadline, on the monotonic clock, is also that of reading the body. Raises
        OSError when there is no answer by then, or none that is HTTP.
        """
        is_kept = self._http is not None and self._http.is_usable()
        try:
            return self._request(is_kept, method, target, headers, body, deadline)
        except (BrokenPipeError, ConnectionResetError):
            # The server closed the kept connection as we used it. What only asks is
            # asked again at once; senders have their own way.
            if not is_kept or method != "GET":
                raise
            return self._request(False, method, target, headers, body, deadline)

    def _request(
        self,
        is_kept: bool,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Optional[bytes],
        deadline: float,
    ) -> http.client.HTTPResponse:
        if self._http is None or not is_kept:
            self.close()
            self._http = _HTTPConnection(self._origin)
        if self._aborted:
            raise ConnectionAbortedError("the connection was aborted")
        self._http.deadline = deadline
        try:
            self._http.arm()
            self._http.request(method, self._origin.prefix + target, body, {**self._origin.headers, **headers})
            self._http.arm()
            return self._http.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise _as_os_error(error) from error

    def allow(self, timeout: float) -> None:
        """Move the deadline of the answer that is being read."""
        if self._http is not None:
            self._http.deadline = time.monotonic() + timeout

    def abort(self) -> None:
        """End the request that another thread waits for, and take no more."""
        self._aborted = True
        if self._http is not None:
            self._http.abort()

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def abandon(self) -> None:
        """Close this process's copy of the parent's connection."""
        if self._http is not None:
            self._http.abandon()
            self._http = None


class _HTTPConnection(http.client.HTTPConnection):
    def __init__(self, origin: Origin) -> None:
        super().__init__(origin.host, origin.port)
        self.default_port = 443 if origin.ssl_context else 80  # not told in Host
        self.response_class = functools.partial(_Response, self)  # type: ignore[assignment]
        self.deadline = 0.0
        self._ssl_context = origin.ssl_context
        self._socket: Optional[socket.socket] = None  # also while it connects
        self._is_aborted = False

    def connect(self) -> None:
        failure: Optional[OSError] = None
        for family, kind, protocol, _, address in socket.getaddrinfo(self.host, self.port, 0, socket.SOCK_STREAM):
            sock = self._socket = socket.socket(family, kind, protocol)
            try:
                self._arm(sock)
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._ssl_context is not None:
                    secure = self._ssl_context.wrap_socket(
                        sock, server_hostname=self.host, do_handshake_on_connect=False
                    )
                    sock = self._socket = secure
                    self._arm(sock)
                    secure.do_handshake()
                self._arm(sock)
                self.sock = sock
                return
            except OSError as error:
                sock.close()
                failure = error
        raise failure or OSError(f"no address is known of {self.host}")

    def arm(self) -> None:
        """Bound the next wait by the deadline. Raises OSError if it has passed."""
        if self.sock is not None:
            self._arm(self.sock)

    def _arm(self, sock: socket.socket) -> None:
        arm(sock, self.deadline)
        if self._is_aborted:
            raise ConnectionAbortedError("the connection was aborted")

    def is_usable(self) -> bool:
        """Tell whether the server still keeps the connection, and owes nothing on it."""
        if self.sock is None:
            return True  # it will connect anew
        self.sock.settimeout(0)
        try:
            # Below TLS, where closing is seen as well.
            socket.socket.recv(self.sock, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def abort(self) -> None:
        self._is_aborted = True
        if self._socket is not None:
            try:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                pass  # it isn't connected (any more)

    def abandon(self) -> None:
        if self._socket is not None:
            descriptor = self._socket.detach()
            if descriptor >= 0:
                os.close(descriptor)


class _Response(http.client.HTTPResponse):
    def __init__(self, connection: _HTTPConnection, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        raw = sock.makefile("rb", buffering=0)
        self.fp = io.BufferedReader(_Timed(raw, sock, connection))


class _Timed(io.RawIOBase):
    """A socket's stream, each of whose reads ends at the connection's deadline."""

    def __init__(self, raw: socket.SocketIO, sock: socket.socket, connection: _HTTPConnection) -> None:
        self._raw = raw
        self._socket = sock
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        arm(self._socket, self._connection.deadline)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def arm(sock: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout("the time is up")
    sock.settimeout(left)


def _as_os_error(error: Exception) -> OSError:
    if isinstance(error, OSError):
        return error
    return ConnectionError(f"the answer was cut or wasn't HTTP ({type(error).__name__})")


def pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Read the body as it comes. Raises OSError if it is cut or late."""
    try:
        while response.length != 0:
            piece = response.read1(1 << 16)
            if not piece:
                break
            yield piece
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _as_os_error(error) from error
    if response.length:
        raise ConnectionError("the answer was cut")
    response.close()  # lets the connection go on to the next one


def read_all(response: http.client.HTTPResponse) -> bytes:
    """Return the body. Raises OSError if it is cut, late, or larger than any answer."""
    body = bytearray()
    for piece in pieces(response):
        body += piece
        if len(body) > MAX_ANSWER:
            raise ConnectionError("the answer is larger than any of this API")
    return bytes(body)


def retry_after(headers: http.client.HTTPMessage) -> Optional[float]:
    """Return the seconds that Retry-After asks for; None if it doesn't, or in riddles."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    if value.isascii() and value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def api_error(status: int, headers: http.client.HTTPMessage, body: bytes) -> ApiError:
    """Make an error of an answer that isn't the one hoped for."""
    problem: Optional[Problem] = None
    try:
        problem = Problem.from_json(_json.decode(body))
    except (ValueError, RecursionError):
        pass  # not the server's own
    return ApiError(status, problem, retry_after(headers))


class Caller:
    """Makes the calls of the API, from any number of threads."""

    def __init__(self, origin: Origin, timeout: float) -> None:
        self._origin = origin
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: List[Connection] = []
        _callers.add(self)

    def call(
        self,
        method: str,
        path_template: str,
        timeout: Optional[float],
        *,
        path: Optional[Mapping[str, object]] = None,
        query: Optional[Mapping[str, object]] = None,
        headers: Optional[Mapping[str, object]] = None,
        body: object = None,
    ) -> object:
        """Return the JSON value that the server answers."""
        connection, response, _ = self._send(method, path_template, timeout, path, query, headers, body)
        try:
            answer = read_all(response)
        except OSError:
            connection.close()
            raise
        self._give_back(connection)
        try:
            return _json.decode(answer)
        except (ValueError, RecursionError):
            raise DecodeError("", "JSON", answer) from None

    def stream(
        self,
        method: str,
        path_template: str,
        timeout: Optional[float],
        *,
        path: Optional[Mapping[str, object]] = None,
        query: Optional[Mapping[str, object]] = None,
        headers: Optional[Mapping[str, object]] = None,
    ) -> Stream:
        """Return the answer as it comes. The time-out is that of each wait for more."""
        sent = self._send(
            method, path_template, timeout, path, query, {**(headers or {}), "Accept-Encoding": "gzip"}, None
        )
        return Stream(self, *sent)

    def close(self) -> None:
        """Close the connections that no call is using."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _send(
        self,
        method: str,
        path_template: str,
        timeout: Optional[float],
        path: Optional[Mapping[str, object]],
        query: Optional[Mapping[str, object]],
        headers: Optional[Mapping[str, object]],
        body: object,
    ) -> Tuple[Connection, http.client.HTTPResponse, float]:
        if timeout is None:
            timeout = self._timeout
        target = path_template
        for name, value in (path or {}).items():
            target = target.replace("{" + name + "}", urllib.parse.quote(str(value), safe=""))
        given = [(name, _parameter(value)) for name, value in (query or {}).items() if value is not None]
        if given:
            target += "?" + urllib.parse.urlencode(given)
        fields = {name: _parameter(value) for name, value in (headers or {}).items() if value is not None}
        content: Optional[bytes] = None
        if isinstance(body, bytes):
            content = body
            fields["Content-Type"] = "application/x-ndjson"
        elif body is not None:
            content = _json.encode(body)
            fields["Content-Type"] = "application/json"

        with self._lock:
            connection = self._idle.pop() if self._idle else Connection(self._origin)
        response = connection.request(method, target, fields, content, time.monotonic() + timeout)
        if response.status in (200, 202):
            return connection, response, timeout
        try:
            answer = read_all(response)
        except OSError:
            connection.close()
            answer = b""  # the status says enough
        self._give_back(connection)
        raise api_error(response.status, response.headers, answer)

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def abandon(self) -> None:
        """In a forked child: leave the parent its connections."""
        self._lock = threading.Lock()
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.abandon()


def _parameter(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class Stream:
    """The lines of an answer, as they come: iterate over it, or close it.

    It is a context manager. A line is bytes without the line feed. Raises OSError if
    the answer breaks off.
    """

    def __init__(
        self, caller: Caller, connection: Connection, response: http.client.HTTPResponse, timeout: float
    ) -> None:
        self._caller = caller
        self._connection: Optional[Connection] = connection
        self._response = response
        self._timeout = timeout
        self._lines = self._read(connection)

    def __iter__(self) -> Iterator[bytes]:
        return self._lines

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the answer here, if it hasn't ended."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _pieces(self, connection: Connection) -> Iterator[bytes]:
        source = pieces(self._response)
        unzip = zlib.decompressobj(31) if self._response.headers.get("Content-Encoding") == "gzip" else None
        connection.allow(self._timeout)
        for piece in source:
            yield piece if unzip is None else unzip.decompress(piece)
            connection.allow(self._timeout)
        if unzip is not None and not unzip.eof:
            raise ConnectionError("the answer was cut")

    def _read(self, connection: Connection) -> Iterator[bytes]:
        rest = b""
        try:
            for piece in self._pieces(connection):
                *lines, rest = (rest + piece).split(b"\n")
                yield from lines
        except zlib.error as error:
            self.close()
            raise ConnectionError("the answer isn't the gzip that it says it is") from error
        except BaseException:  # also when the reader stops here
            self.close()
            raise
        if rest:
            yield rest
        if self._connection is not None:
            self._connection = None
            self._caller._give_back(connection)


_callers: weakref.WeakSet[Caller] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for caller in list(_callers):
        caller.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
