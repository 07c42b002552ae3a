"""What the system reports of processes: cores, resident memory, processor time. Without /proc the last two are 0."""

from __future__ import annotations

import os
import resource

_FILE_BYTES = 1_024
"""Bytes of /proc/PID/statm and /proc/PID/stat at most."""


def resident(pid: int) -> int:
    """Return the bytes of resident memory of the process *pid*."""
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def processor_seconds(pid: int) -> float:
    """Return the seconds that the process *pid* was on a processor, in its own code and in the kernel."""
    try:
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()  # the name before it may have spaces
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def cores() -> int:
    """Return the number of cores that this process may use; of all cores where the system does not provide it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # reads no disk
    try:
        return os.read(file, _FILE_BYTES)
    finally:
        os.close(file)
