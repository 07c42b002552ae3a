"""The program of a render process: `__main__.py MEMORY_BYTES SANDBOXED SOCKET PIPE`. See `launch.py`."""

from __future__ import annotations

import socket
import sys

from service.rendering.calls import serve

if __name__ == "__main__":
    memory_bytes, sandboxed, service, data = map(int, sys.argv[1:])
    serve(memory_bytes, bool(sandboxed), socket.socket(fileno=service), data)
