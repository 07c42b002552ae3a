"""The layers of the sandbox, in the order in which a process enters them. It cannot leave them."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Literal

from service.rendering.sandbox.kernel import prctl
from service.rendering.sandbox.landlock import restrict_files
from service.rendering.sandbox.seccomp import restrict_calls

Mode = Literal["auto", "require", "off"]
"""Take the layers that the system has; use no process that lacks a layer of `REQUIRED`; take none."""
Layers = dict[str, int]
"""The layers by name: 0 for one that is missing, the ABI of Landlock, 1 for any other one."""

REQUIRED: Layers = {"no_new_privs": 1, "landlock": 4, "seccomp": 1}
"""The layers of `require`, and the least value of each."""
ALL: Layers = {"limits": 1, "undumpable": 1} | REQUIRED

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
"""Options of prctl(2), from include/uapi/linux/prctl.h."""
_LIMITS = {
    resource.RLIMIT_CORE: 0,  # bytes of a core dump
    resource.RLIMIT_FSIZE: 0,  # bytes of a file that is written
    resource.RLIMIT_NOFILE: 64,  # descriptors
    resource.RLIMIT_NPROC: 4096,  # processes and threads of this user, in all programs; decoders of HEIC use threads
}
"""Limits for which a render leaves room, and the user has no other use."""


def limit(which: int, most: int) -> None:
    """Lower a limit of this process, which cannot be raised again. Raise OSError or ValueError."""
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def enter(readable: Collection[Path]) -> Layers:
    """Enter every layer that the system has, and return which. Files below *readable* can still be read.

    Threads that run already are not restricted.
    """
    layers = dict.fromkeys(ALL, 0)
    steps: dict[str, Callable[[], int | None]] = {"limits": _limit_all}
    if sys.platform == "linux":
        steps |= {
            "undumpable": partial(prctl, _PR_SET_DUMPABLE, 0),
            "no_new_privs": partial(prctl, _PR_SET_NO_NEW_PRIVS, 1),
            "landlock": partial(restrict_files, readable),
            "seccomp": restrict_calls,
        }
    for name, step in steps.items():
        try:
            value = step()
        except (OSError, ValueError):
            continue  # the system does not have it, or does not allow it
        layers[name] = 1 if value is None else value
    return layers


def missing(layers: Layers, wanted: Layers) -> list[str]:
    """Return the names of the layers that *layers* does not have, or not as *wanted*."""
    return [name for name, least in wanted.items() if layers.get(name, 0) < least]


def _limit_all() -> None:
    for which, most in _LIMITS.items():
        limit(which, most)
