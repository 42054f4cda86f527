"""A proxy before a real S3 server that misbehaves as buckets do, in a seeded order.

It answers 500 and 503, resets connections (before and after the store did the work), truncates
bodies and stalls (and, where asked, corrupts them). With `refuse_checksums` it answers 400 to
checksum headers, as B2 did.
"""

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("500", "503", "reset", "lost answer", "truncated", "stalled")
_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "date", "server"}


@dataclass
class Proxy:
    """What goes wrong, how often, and what went wrong so far."""

    upstream: str
    share: float = 0.0
    seed: int = 0
    stall_seconds: float = 3.0
    refuse_checksums: bool = False
    faults: tuple[str, ...] = FAULTS
    url: str = ""
    seen: Counter = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()

    def draw(self) -> str:
        """The fault of the next request, or `fine`."""
        with self._lock:
            bad = self._random.random() < self.share
            fault = self._random.choice(self.faults) if bad else "fine"
            self.seen[fault] += 1
            return fault


@contextmanager
def fault_proxy(upstream: str, **settings: object) -> Iterator[Proxy]:
    """A proxy before `upstream` on a free loopback port."""
    proxy = Proxy(upstream, **settings)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):
            super().handle_one_request()

    def _forward(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.proxy.refuse_checksums and any(_is_checksum(name) for name in self.headers):
            self.proxy.seen["refused"] += 1
            return self._answer(400, _XML.format("InvalidArgument").encode())
        fault = self.proxy.draw()
        if fault in ("500", "503"):
            code = "InternalError" if fault == "500" else "SlowDown"
            return self._answer(int(fault), _XML.format(code).encode())
        if fault == "reset":
            return self._reset()
        status, headers, body = self._ask(content)
        if fault == "lost answer":
            return self._reset()
        return self._answer(status, body, headers, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815

    def _ask(self, content: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(urlsplit(self.proxy.upstream).netloc, timeout=30)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "expect":
                upstream.putheader(name, value)
        upstream.endheaders(content)
        answer = upstream.getresponse()
        body = answer.read()
        headers = answer.getheaders()
        upstream.close()
        return answer.status, headers, body

    def _answer(self, status: int, body: bytes, headers: list = (), fault: str = "fine") -> None:
        self.send_response(status)
        length = {k.lower(): v for k, v in headers}.get("content-length", str(len(body)))
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if fault in ("truncated", "stalled"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "stalled":
                time.sleep(self.proxy.stall_seconds)
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(bytes(len(body)) if fault == "corrupted" else body)

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)  # close sends RST
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


_XML = "<?xml version='1.0'?><Error><Code>{}</Code><Message>planted</Message></Error>"


def _is_checksum(name: str) -> bool:
    return name.lower().startswith("x-amz-checksum-") or name.lower() in (
        "x-amz-sdk-checksum-algorithm",
        "x-amz-trailer",
    )
