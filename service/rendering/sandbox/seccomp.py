"""seccomp: the system calls of a render are allowed, and all others fail with EPERM.

Constants are those of include/uapi/linux/{seccomp,filter,bpf_common,audit}.h of Linux 6.12; seccomp(2) describes them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import Iterator

from service.rendering.sandbox.kernel import system_call
from service.rendering.sandbox.system_calls import ALLOWED, MACHINES, Machine

_SET_MODE_FILTER = 1
_SPEC_ALLOW = 4
"""Older kernels slow down a process with a filter by a mitigation of Spectre, which protects a process from itself."""
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Codes of BPF: load a word; jump if it equals, if it is not less, if they have a bit in common; return."""
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Bytes to the fields of `struct seccomp_data`."""
_X32 = 0x40000000
"""The bit of the calls of the ABI x32, which has the architecture of x86_64."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
"""Flags of open(2) that do more than read."""
_THREAD = 0x00010000
"""`CLONE_THREAD`. A clone without it is a process."""
_FLAGS = fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL
"""Commands of fcntl(2). Others can send signals."""

Instruction = tuple[int, int, int, int]
"""Code, the two jumps, and the operand of an instruction."""


class _Instruction(ctypes.Structure):
    """`struct sock_filter`."""

    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


def restrict_calls() -> None:
    """Restrict the system calls of this thread. `no_new_privs` must be set. Raise OSError."""
    machine = MACHINES.get(os.uname().machine)
    if machine is None or sys.maxsize < 2**32:
        raise OSError(errno.ENOSYS, "no list of system calls for this machine")
    instructions = [_Instruction(*each) for each in _filter(machine, os.getpid())]
    program = _Program(len(instructions), (_Instruction * len(instructions))(*instructions))
    system_call(machine.numbers["seccomp"], _SET_MODE_FILTER, _SPEC_ALLOW, ctypes.byref(program))


def _filter(machine: Machine, pid: int) -> Iterator[Instruction]:
    numbers = machine.numbers
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, machine.audit
    yield _RETURN, 0, 0, _KILL_PROCESS
    yield _LOAD, 0, 0, _NUMBER
    yield _AT_LEAST, 0, 1, _X32
    yield _RETURN, 0, 0, _KILL_PROCESS
    for number in (numbers[name] for name in ALLOWED if name in numbers):
        yield from _if(number, (_RETURN, 0, 0, _ALLOW))
    yield from _if(numbers["clone3"], (_RETURN, 0, 0, _ERRNO | errno.ENOSYS))  # the C library then takes `clone`
    yield from _if(numbers["clone"], *_allow_if(0, (_ANY_BIT, _THREAD)))
    yield from _if(numbers["openat"], *_allow_unless(2, _WRITING))
    if "open" in numbers:
        yield from _if(numbers["open"], *_allow_unless(1, _WRITING))
    yield from _if(numbers["fcntl"], *_allow_if(1, *((_EQUAL, each) for each in _FLAGS)))
    yield from _if(numbers["tgkill"], *_allow_if(0, (_EQUAL, pid)))  # abort(3)
    yield _RETURN, 0, 0, _ERRNO | errno.EPERM


def _if(number: int, *instructions: Instruction) -> Iterator[Instruction]:
    """Yield a filter that follows *instructions* for the call with that *number*."""
    yield _EQUAL, 0, len(instructions), number
    yield from instructions


def _allow_if(argument: int, *tests: tuple[int, int]) -> Iterator[Instruction]:
    """Yield a filter that allows a call if its argument, a word of 32 bits, passes one of *tests*."""
    yield _LOAD, 0, 0, _ARGUMENTS + 8 * argument
    for left, (code, operand) in zip(range(len(tests), 0, -1), tests, strict=True):
        yield code, left, 0, operand
    yield _RETURN, 0, 0, _ERRNO | errno.EPERM
    yield _RETURN, 0, 0, _ALLOW


def _allow_unless(argument: int, bits: int) -> Iterator[Instruction]:
    """Yield a filter that allows a call if its argument has none of *bits*."""
    yield _LOAD, 0, 0, _ARGUMENTS + 8 * argument
    yield _ANY_BIT, 0, 1, bits
    yield _RETURN, 0, 0, _ERRNO | errno.EPERM
    yield _RETURN, 0, 0, _ALLOW
