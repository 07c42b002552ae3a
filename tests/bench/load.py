"""Load on one URL over kept connections, from a process of its own: `wrk` where it is installed, else a few lines here.

`python -m tests.bench.load PORT PATH SECONDS LENGTH NAME:VALUE…` is the latter; LENGTH is that of the body in bytes.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import cast

from tests.bench.processes import HOST, ROOT

CONNECTIONS = 32


def load(port: int, path: str, headers: Mapping[str, str], *, seconds: int, length: int) -> float:
    """Requests answered per second. Ends the benchmark when one of them is not a success."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if wrk := shutil.which("wrk"):
        fields = [part for line in lines for part in ("-H", line)]
        command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *fields, f"http://{HOST}:{port}{path}"]
    else:
        command = [sys.executable, "-m", "tests.bench.load", str(port), path, str(seconds), str(length), *lines]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 20, check=True)
    rate = re.search(r"Requests/sec: +([0-9.]+)", done.stdout)
    if rate is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"the load failed:\n{done.stdout}")
    return float(rate[1])


class _Client(asyncio.Protocol):
    """One connection: asks again once the answer is whole. Reads no more of it than where its header ends."""

    def __init__(self, request: bytes, length: int) -> None:
        self._request, self._length = request, length
        self._buffer = b""
        self.answered, self.failed = 0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or len(self._buffer) < end + 4 + self._length:
            return
        self.failed |= self._buffer[9:10] not in (b"2", b"3")
        self.answered, self._buffer = self.answered + 1, b""
        self._transport.write(self._request)


async def _main(port: int, path: str, seconds: float, length: int, lines: list[str]) -> None:
    request = "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {HOST}", *lines, "", ""]).encode()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: _Client(request, length), HOST, port) for _ in range(CONNECTIONS)]
    begun = time.perf_counter()
    await asyncio.sleep(seconds)
    rate = sum(client.answered for _, client in made) / (time.perf_counter() - begun)
    print(f"Requests/sec: {rate:.2f}")
    if any(client.failed or not client.answered for _, client in made):
        print("Non-2xx or 3xx responses")
    for transport, _ in made:
        transport.abort()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]))
