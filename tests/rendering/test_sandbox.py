"""The sandbox of render processes: what it denies, what it leaves, and kernels that lack a layer of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.errors import PictureError
from service.formats import WRITABLE, Fit, IfBlank
from service.imaging.order import Encoding, Limits, Order, Placeholder
from service.pictures.trace import Trace
from service.rendering import process as process_module
from service.rendering.pool import RenderPool
from service.rendering.process import NoSandbox, RenderProcess
from service.rendering.sandbox.layers import ALL, REQUIRED, missing
from service.rendering.sandbox.system_calls import ALLOWED, MACHINES
from tests.conftest import Valkey
from tests.rendering.test_pool import ORDER, PICTURE, Pools, metrics, pools, reading
from tests.rendering.test_supervisor import Receiver, large_file
from tools.fuzz.seeds import seeds

__all__ = ["metrics", "pools"]

ROOT = Path(__file__).parents[2]
DENIED = {"EPERM", "EACCES", "ENOSYS"}
BOUNDED = {"map 8 GB": "ENOMEM", "open many files": "EMFILE"}
FILES = [f"read {name}" for name in ("a picture", "/etc/passwd", "the parent's environment")]
FILES += ["list the pictures", "open the parent's memory"]
"""What Landlock alone denies."""


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a secret, in the place of the service."""
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "SECRET": "s" * 32}) as process:
        yield process
        process.kill()


def confined(**what: Any) -> tuple[dict[str, Any], int]:
    """Return the report of `confined.py` and its exit code."""
    own, child = socket.socketpair()
    with (
        own,
        subprocess.Popen(
            [sys.executable, "-m", "tests.rendering.confined", str(child.fileno())],
            cwd=ROOT,
            pass_fds=(child.fileno(),),
        ) as process,
    ):
        child.close()
        own.sendall(json.dumps({"attempts": [], "absent": [], "other_abi": False} | what).encode())
        report = b"".join(iter(lambda: own.recv(65_536), b""))
        return json.loads(report), process.wait(60)


@pytest.fixture
def target(tmp_path: Path, victim: subprocess.Popen[bytes], shared_valkey: Valkey) -> Iterator[dict[str, Any]]:
    """What there is to attack."""
    picture = tmp_path / "7.png"
    picture.write_bytes(PICTURE)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {
            "parent": victim.pid,
            "images": str(tmp_path),
            "picture": str(picture),
            "valkey": str(shared_valkey.socket),
            "port": server.getsockname()[1],
        }


def need(*names: str) -> None:
    """Skip the calling test if the kernel lacks one of these layers."""
    report, _ = confined(attempts=["fork"], parent=0, picture="", images="")
    if lacks := missing(report["layers"], {name: ALL[name] for name in names}):
        pytest.skip(f"the kernel has no {lacks}")


def test_conquered_process_can_do_nothing(target: dict[str, Any], victim: subprocess.Popen[bytes]) -> None:
    need(*ALL)
    report, code = confined(**target)
    assert missing(report.pop("layers"), ALL) == []
    assert len(report) > 25
    allowed = {name: what for name, what in report.items() if what not in DENIED and what != BOUNDED.get(name)}
    assert allowed == {}
    assert code == 0
    assert victim.poll() is None
    assert os.listdir(target["images"]) == ["7.png"]
    assert Path(target["picture"]).read_bytes() == PICTURE


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="another machine code")
def test_system_call_of_another_abi_ends_the_process(target: dict[str, Any]) -> None:
    need("seccomp")
    assert confined(**target, attempts=["fork"], other_abi=True)[1] == -signal.SIGSYS


def test_landlock_denies_files_and_ports_on_a_kernel_without_seccomp(
    target: dict[str, Any], victim: subprocess.Popen[bytes]
) -> None:
    need("landlock")
    tried = [*FILES, "open a picture to write", "write a gigabyte", "remove a picture", "link a picture"]
    tried += ["execute a program", "connect to a port"]
    report, _ = confined(**target, attempts=tried, absent=["seccomp"])
    assert report.pop("layers")["seccomp"] == 0
    assert {name: what for name, what in report.items() if what not in DENIED} == {}
    assert os.listdir(target["images"]) == ["7.png"]


def test_seccomp_denies_all_but_reading_on_a_kernel_without_landlock(
    target: dict[str, Any], victim: subprocess.Popen[bytes]
) -> None:
    need("seccomp")
    report, _ = confined(**target, absent=["landlock"])
    assert report.pop("layers")["landlock"] == 0
    allowed = {name for name, what in report.items() if what not in DENIED and what != BOUNDED.get(name)}
    assert allowed <= set(FILES)
    assert victim.poll() is None


def test_kernel_without_both_leaves_limits(target: dict[str, Any]) -> None:
    tried = ["write a gigabyte", "map 8 GB", "open many files"]
    report, _ = confined(**target, attempts=tried, absent=["landlock", "seccomp"])
    assert report.pop("layers") == dict.fromkeys(ALL, 1) | {"landlock": 0, "seccomp": 0}
    assert report == BOUNDED | {"write a gigabyte": "EFBIG"}


Attempt = Callable[[], Awaitable[object]]


async def result_of(work: Attempt) -> object:
    """Return the result of *work*, or its error."""
    try:
        return await work()
    except PictureError as error:
        return type(error), error.args


async def test_every_format_is_read_and_written_in_the_sandbox_as_outside(pools: Pools) -> None:
    inside, outside = await pools(timeout=60.0), await pools(timeout=60.0, sandbox="off")

    async def same(work: Callable[[RenderPool], Awaitable[object]]) -> object:
        results = [await result_of(partial(work, pool)) for pool in (inside, outside)]
        assert results[0] == results[1]
        return results[0]

    for data in seeds().values():
        read = reading(data)
        for kind in WRITABLE:
            order = Order(kind, 20, 10, Fit.PAD)
            await same(lambda pool, read=read, order=order: pool.render_original(read, order, Trace()))
        await same(lambda pool, read=read: pool.admit(read, Limits(), Encoding(), Trace()))
    for blank in IfBlank:
        for kind in WRITABLE:
            placeholder = Placeholder(blank, 40, 30, kind, "NO PHOTO 照片")
            await same(lambda pool, placeholder=placeholder: pool.draw(placeholder, Trace()))
    receiver = Receiver(waiting=True)
    for pool in (inside, outside):
        await pool.render_original(reading(large_file()), ORDER, Trace(), receiver)
    made = [(await receiver.received.get())[0] for _ in range(2)]
    assert made[0] == made[1]
    assert made[0] is not None


async def test_process_without_a_required_layer_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "REQUIRED", REQUIRED | {"landlock": 1000})
    process = RenderProcess(0, "require")
    with pytest.raises(NoSandbox, match="landlock"):
        await process.start()
    process.kill()
    await process.wait_ended()


async def test_process_without_a_sandbox_has_no_layers() -> None:
    process = RenderProcess(0, "off")
    await asyncio.wait_for(process.start(), 60)
    assert process.layers == dict.fromkeys(ALL, 0)
    process.kill()
    await process.wait_ended()


@pytest.mark.parametrize("machine", MACHINES)
def test_every_allowed_system_call_has_a_number(machine: str) -> None:
    numbers = MACHINES[machine].numbers
    assert numbers.keys() >= {*ALLOWED} - {"stat", "lstat"} | {
        "clone",
        "clone3",
        "openat",
        "fcntl",
        "tgkill",
        "seccomp",
    }
    assert len({*numbers.values()}) == len(numbers)
