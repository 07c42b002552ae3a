"""A call for a render process that a picture has taken over. Forks have this module before they enter the sandbox."""

from __future__ import annotations

import os
import socket
import stat
import time
from dataclasses import dataclass
from typing import Any

from service.rendering.calls import Call


@dataclass(frozen=True)
class Forging(Call[Any]):
    """Sends *data* in place of its reply, or before it if it also *replies*, by every socket of the render process."""

    data: bytes = b""
    replies: bool = False

    def __call__(self, *args: object) -> Any:
        for descriptor in filter(_is_socket, range(3, 64)):
            end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)
            end.sendall(self.data)
            end.detach()
        if not self.replies:
            time.sleep(600)
        return super().__call__(*args)


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False
