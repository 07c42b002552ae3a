"""Landlock: no file but named folders to read, no TCP, and no signal to another process.

Constants are those of include/uapi/linux/landlock.h of Linux 6.12, and landlock(7) describes them.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from service.rendering.sandbox.kernel import system_call

# The numbers of the system calls are the same on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""The number of rights to files, which are the lowest bits, by ABI. Later ABIs have as many as the last."""
_TCP = 1 << 0 | 1 << 1
"""The rights to bind and to connect, from ABI 4 on."""
_SCOPES = 1 << 0 | 1 << 1
"""Abstract unix sockets and signals of processes outside of the sandbox, from ABI 6 on."""


class _Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr`. Fields that an older kernel does not know are zero."""

    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def restrict_files(readable: Iterable[Path]) -> int:
    """Restrict this thread to the files below *readable*. Return the ABI of the kernel.

    `no_new_privs` must be set. Raise OSError.
    """
    abi = system_call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    rights = (1 << _FILE_RIGHTS[min(abi, max(_FILE_RIGHTS))]) - 1
    ruleset = _Ruleset(rights, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    descriptor = system_call(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), 0)
    try:
        for each in filter(Path.is_dir, readable):
            folder = os.open(each, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = _PathBeneath(_READ_FILE | _READ_DIR, folder)
                system_call(_ADD_RULE, descriptor, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
            finally:
                os.close(folder)
        system_call(_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)
    return abi
