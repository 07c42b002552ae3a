"""Every private or undocumented name of a library that the service uses is listed here, and the library has it.

A release of a library may change these names without notice. After an upgrade this test shows which ones.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import service

SERVICE = Path(service.__file__).parent

PRIVATE = [
    "PIL.Image._getdecoder",
    "PIL.Image._initialized",
    "PIL.Image.Image._mode",
    "PIL.Image.Image._size",
    "PIL.ImageFile._Tile",
    "PIL.AvifImagePlugin.AvifImageFile._open",
    "PIL.BmpImagePlugin.BmpImageFile._bitmap",
    "PIL.JpegImagePlugin.JpegImageFile._open",
    "PIL.TiffImagePlugin.TiffImageFile._planar_configuration",
    "PIL.TiffImagePlugin.TiffImageFile._setup",
    "aiohttp.web.RequestHandler._close",
    "aiohttp.web.RequestHandler._current_request",
    "aiohttp.web.RequestHandler._keepalive_handle",
    "aiohttp.web.RequestHandler._messages",
    "aiohttp.web.RequestHandler._next_keepalive_close_time",
    "aiohttp.web.RequestHandler._parser",
    "aiohttp.web.RequestHandler._waiter",
    "aiohttp.web.RequestHandler._request_factory",
    "prometheus_client.Histogram._buckets",
    "prometheus_client.Histogram._sum",
    "redis.asyncio.connection.AbstractConnection._writer",
    "yarl._url",
]
"""Names with an underscore. The walks below find them: list what they find, and remove what they do not find."""

UNDOCUMENTED = [
    "PIL.AvifImagePlugin.DEFAULT_MAX_THREADS",
    "PIL.ImageFile.ImageFile.decodermaxblock",
    "PIL.ImageFile.ImageFile.load_end",
    "PIL.ImageFile.ImageFile.load_prepare",
    "PIL.JpegImagePlugin.JpegImageFile.load_read",
    "PIL.TiffImagePlugin.OPEN_INFO",
    "aiohttp.abc.AbstractStreamWriter.output_size",
    "aiohttp.http.HttpRequestParser.message_consumed",
    "aiohttp.http.HttpRequestParser.set_upgraded",
    "aiohttp.multipart.MultipartReader.multipart_reader_cls",
    "aiohttp.multipart.MultipartReader.part_reader_cls",
    "aiohttp.streams.EMPTY_PAYLOAD",
    "aiohttp.web.BaseRequest.protocol",
    "aiohttp.web.RequestHandler.force_close",
    "aiohttp.web.RequestHandler.handle_error",
    "aiohttp.web.RequestHandler.writing_paused",
    "aiohttp.web.Server.connections",
    "aiohttp.web.Server.pre_shutdown",
    "aiohttp.web.Server.request_factory",
    "aiohttp.web.Server.request_handler",
    "gunicorn.arbiter.Arbiter.LISTENERS",
    "gunicorn.arbiter.Arbiter.SIG_QUEUE",
    "gunicorn.arbiter.Arbiter.WORKERS",
    "gunicorn.arbiter.Arbiter.WORKER_BOOT_ERROR",
    "gunicorn.arbiter.Arbiter.handle_hup",
    "gunicorn.arbiter.Arbiter.init_signals",
    "gunicorn.arbiter.Arbiter.kill_worker",
    "gunicorn.arbiter.Arbiter.kill_workers",
    "gunicorn.arbiter.Arbiter.manage_workers",
    "gunicorn.arbiter.Arbiter.num_workers",
    "gunicorn.arbiter.Arbiter.reap_workers",
    "gunicorn.arbiter.Arbiter.signal",
    "gunicorn.arbiter.Arbiter.signal_chld",
    "gunicorn.arbiter.Arbiter.spawn_worker",
    "gunicorn.arbiter.Arbiter.stop",
    "gunicorn.arbiter.Arbiter.wait_for_signals",
    "gunicorn.glogging.Logger.setup",
    "gunicorn.workers.base.Worker.booted",
    "gunicorn.workers.base.Worker.init_process",
    "gunicorn.workers.base.Worker.init_signals",
    "gunicorn.workers.base.Worker.notify",
    "hiredis.Reader.len",
    "prometheus_client.values.MultiProcessValue",
    "prometheus_client.values.ValueClass",
    "redis.asyncio.ConnectionPool.make_connection",
]
"""Names without an underscore that the library does not document, or documents for its own use."""

_STANDARD = {"_replace", "_asdict", "_fields", "_make", "_exit", "_abc_impl"}
"""Names of the standard library: documented ones, and what `abc` gives every class."""


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_" and name not in _STANDARD


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SERVICE.rglob("*.py")):
        yield path, ast.parse(path.read_text("utf-8"))


def defined(tree: ast.Module) -> set[str]:
    """Return the names that a module defines: functions, classes, variables, attributes of `self`."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                names.add(name)
    return names


def accessed() -> dict[str, str]:
    """Return each private name that a module accesses or imports and does not define, with its place."""
    modules = list(trees())
    everywhere = set().union(*(defined(tree) for _, tree in modules))
    found = {}
    for path, tree in modules:
        here = defined(tree)
        for node in ast.walk(tree):
            names: list[str] = []
            match node:
                case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                    names = [] if name in everywhere else [name]  # a base class may be in another module
                case ast.Attribute(attr=name):
                    names = [] if name in here else [name]
                case ast.ImportFrom(module=module, names=aliases):
                    names = [*(module or "").split("."), *(alias.name for alias in aliases)]
                case ast.Import(names=aliases):
                    names = [part for alias in aliases for part in alias.name.split(".")]
                case ast.Call(
                    func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[_, ast.Constant(value=str(name)), *_]
                ):
                    names = [name]
            found |= {name: f"{path.relative_to(SERVICE)}:{node.lineno}" for name in names if private(name)}
    return found


def inherited() -> dict[str, str]:
    """Return each private name of a library's class that a class of the service overrides or uses, with its place."""
    found = {}
    for module in modules():
        for own in vars(module).values():
            if not (inspect.isclass(own) and own.__module__ == module.__name__):
                continue
            used = set(re.findall(r"\b(?:self|cls|super\(\))\.(_\w+)", source(own))) | set(vars(own))
            for base in own.__mro__[1:]:
                if base.__module__.split(".")[0] not in {"service", "builtins", *sys.stdlib_module_names}:
                    found |= {
                        name: f"{module.__name__}.{own.__name__}" for name in used if private(name) and has(base, name)
                    }
    return found


def modules() -> Iterator[ModuleType]:
    for each in pkgutil.walk_packages(service.__path__, "service."):
        if each.name.rpartition(".")[2] not in ("__main__", "_watchdog"):  # programs
            yield importlib.import_module(each.name)


@cache
def source(some_class: type) -> str:
    """Return the source of a class, empty where there is none."""
    try:
        return inspect.getsource(some_class)
    except (OSError, TypeError):  # made at run time, or written in C
        return ""


def has(owner: object, name: str) -> bool:
    """Whether a module or a class has an attribute, or its instances do."""
    if hasattr(owner, name):
        return True
    if not inspect.isclass(owner):
        return False
    sources = map(source, owner.__mro__)
    return any(re.search(rf"\bself\.{name}\b", each) for each in sources)


def found_in_library(path: str) -> bool:
    """Whether a dotted path leads to a module, or to an attribute of one."""
    owner, _, name = path.rpartition(".")
    parts = owner.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        if has(found, name):
            return True
        break
    try:
        return importlib.import_module(path) is not None
    except ModuleNotFoundError:
        return False


def last(path: str) -> str:
    return path.rpartition(".")[2]


def test_every_private_name_is_listed() -> None:
    found, listed = accessed() | inherited(), {last(path) for path in PRIVATE}
    assert {name: place for name, place in found.items() if name not in listed} == {}
    assert listed - found.keys() == set()


@pytest.mark.parametrize("path", [*PRIVATE, *UNDOCUMENTED])
def test_library_has_the_name(path: str) -> None:
    assert found_in_library(path)


def test_every_undocumented_name_is_used() -> None:
    source = "\n".join(path.read_text("utf-8") for path, _ in trees())
    assert [path for path in UNDOCUMENTED if not re.search(rf"\b{last(path)}\b", source)] == []


def test_name_that_is_gone_from_a_library_is_noticed() -> None:
    assert not found_in_library("PIL.Image._gone")
    assert not found_in_library("redis.asyncio.connection.AbstractConnection._gone")
