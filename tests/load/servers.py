"""Servers that answer as a test says, each for as long as a `with` block."""

from __future__ import annotations

import re
import socket
import socketserver
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

Write = Callable[[bytes], object]
Answers = Callable[[bytes, Write], None]
"""Answers a request, of which it gets the header, by writing."""


@contextmanager
def answering(answers: Answers, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Yield the port of a server that answers every request by *answers*, and closes the connection if that raises."""

    class Connection(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                if tls is not None:
                    self.request = tls.wrap_socket(self.request, server_side=True)
                    self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", buffering=0)
                while header := self.rfile.readline():
                    while not header.endswith(b"\r\n\r\n"):
                        header += self.rfile.readline()
                    if length := re.search(rb"Content-Length: (\d+)", header):
                        self.rfile.read(int(length[1]))
                    answers(header, self.wfile.write)
            except (OSError, EOFError):
                pass

        def finish(self) -> None:
            self.request.close()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True
        block_on_close = False
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        request_queue_size = 200

    with Server((host, 0), Connection) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
