"""What a render process can do that a picture has taken over: enter the sandbox as it does, and try.

`confined.py SOCKET` gets as JSON by the descriptor of a socket which attempts it makes, what there is to attack, and
which layers the kernel shall lack. It sends what came of each: the name of an error, or `done`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from service.imaging.files import folders
from service.rendering import worker
from service.rendering.sandbox import layers
from service.rendering.sandbox.system_calls import MACHINES

LIBC = ctypes.CDLL(None, use_errno=True)
GIGABYTE = 2**30
MACHINE = os.uname().machine
NUMBERS = MACHINES[MACHINE].numbers | {"ptrace": 101 if MACHINE == "x86_64" else 117, "io_uring_setup": 425}
STEPS = {"landlock": "restrict_files", "seccomp": "restrict_calls"}
"""The functions of layers."""


def system_call(name: str, *arguments: int) -> None:
    """Make a system call. Raise OSError."""
    if LIBC.syscall(*map(ctypes.c_long, (NUMBERS[name], *arguments))) < 0:
        raise OSError(ctypes.get_errno(), name)


def write_gigabyte(path: str) -> None:
    with open(path, "wb") as file:
        file.truncate(GIGABYTE)


def connect(family: int, address: Any) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.connect(address)


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def attempts(what: dict[str, Any], end: socket.socket) -> dict[str, Callable[[], object]]:
    """Return the attempts by name."""
    parent, picture, images = what["parent"], what["picture"], what["images"]
    return {
        "read the parent's environment": lambda: open(f"/proc/{parent}/environ", "rb").read(),
        "open the parent's memory": lambda: open(f"/proc/{parent}/mem", "rb"),
        "trace the parent": lambda: system_call("ptrace", 16, parent, 0, 0),
        "list the pictures": lambda: os.listdir(images),
        "read a picture": lambda: open(picture, "rb").read(),
        "open a picture to write": lambda: open(picture, "r+b"),
        "cut a picture": lambda: os.truncate(picture, 0),
        "remove a picture": lambda: os.unlink(picture),
        "rename a picture": lambda: os.rename(picture, picture + "2"),
        "link a picture": lambda: os.symlink(picture, images + "/9.png"),
        "read /etc/passwd": lambda: open("/etc/passwd", "rb").read(),
        "write a gigabyte": lambda: write_gigabyte(images + "/new"),
        "write to memory": lambda: os.memfd_create("memory"),
        "connect to Valkey": lambda: connect(socket.AF_UNIX, what["valkey"]),
        "connect to a port": lambda: connect(socket.AF_INET, ("127.0.0.1", what["port"])),
        "listen at a port": lambda: socket.create_server(("127.0.0.1", 0)),
        "fork": fork,
        "clone a process": lambda: system_call("clone", signal.SIGCHLD, 0, 0, 0, 0),
        "clone by clone3": lambda: system_call("clone3", 0, 0),
        "execute a program": lambda: os.execv("/bin/true", ["true"]),
        "kill the parent": lambda: os.kill(parent, signal.SIGKILL),
        "kill a thread of the parent": lambda: system_call("tgkill", parent, parent, signal.SIGKILL),
        "open the parent as a descriptor": lambda: os.pidfd_open(parent),
        "have the kernel signal the parent": lambda: fcntl.fcntl(end, fcntl.F_SETOWN, parent),
        "use io_uring": lambda: system_call("io_uring_setup", 8, 0),
        "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (GIGABYTE, GIGABYTE)),
        "map 8 GB": lambda: mmap.mmap(-1, 8 * GIGABYTE),
        "open many files": lambda: [open(os.__file__, "rb") for _ in range(100)],
    }


def call_by_another_abi() -> None:
    """Call getpid by the ABI of i386: `mov eax, 20; int 0x80; ret`."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))
    except ValueError:
        return "EPERM"  # as `resource.setrlimit` says it
    return "done"


def main() -> None:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, int(sys.argv[1]))
    what = json.loads(end.recv(65_536))
    worker._set_up_process(GIGABYTE)
    for name in what["absent"]:
        patch.object(layers, STEPS[name], side_effect=OSError).start()
    report: dict[str, Any] = {"layers": layers.enter(folders())}
    every = attempts(what, end)
    report |= {name: outcome(every[name]) for name in what["attempts"] or every}
    end.sendall(json.dumps(report).encode())
    if what["other_abi"]:
        call_by_another_abi()
    os._exit(0)


if __name__ == "__main__":
    main()
