"""The system calls of renders, and their numbers on each machine."""

from __future__ import annotations

from typing import NamedTuple


class Machine(NamedTuple):
    """A machine. *audit* is its `AUDIT_ARCH`, and *numbers* are those of the system calls."""

    audit: int
    numbers: dict[str, int]


ALLOWED = (
    # The most frequent ones come first: calls and replies, pictures, locks, memory.
    *("sendto", "recvmsg", "readv", "futex", "recvfrom", "read", "pread64", "close"),
    *("brk", "mmap", "munmap", "mremap", "mprotect", "madvise"),
    *("fstat", "newfstatat", "stat", "lstat", "lseek"),
    *("rt_sigprocmask", "rt_sigaction", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("exit", "exit_group", "getpid", "gettid", "set_robust_list", "rseq", "membarrier"),
    *("sched_yield", "sched_getaffinity", "getcpu", "clock_gettime", "gettimeofday", "clock_nanosleep", "nanosleep"),
    *("getrandom", "getrusage", "sysinfo", "uname"),
    *("getdents64", "getcwd"),  # modules that are imported late, and names of files that are compared
)
"""The calls that are allowed with any arguments, as far as the machine has them."""

# Only x86_64 has `open`, `stat` and `lstat`, which musl prefers.
_X86_64 = {  # arch/x86/entry/syscalls/syscall_64.tbl
    "read": 0,
    "open": 2,
    "close": 3,
    "stat": 4,
    "fstat": 5,
    "lstat": 6,
    "lseek": 8,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "pread64": 17,
    "readv": 19,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "nanosleep": 35,
    "getpid": 39,
    "sendto": 44,
    "recvfrom": 45,
    "recvmsg": 47,
    "clone": 56,
    "exit": 60,
    "uname": 63,
    "fcntl": 72,
    "getcwd": 79,
    "gettimeofday": 96,
    "getrusage": 98,
    "sysinfo": 99,
    "sigaltstack": 131,
    "gettid": 186,
    "futex": 202,
    "sched_getaffinity": 204,
    "getdents64": 217,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "tgkill": 234,
    "openat": 257,
    "newfstatat": 262,
    "set_robust_list": 273,
    "getcpu": 309,
    "seccomp": 317,
    "getrandom": 318,
    "membarrier": 324,
    "rseq": 334,
    "clone3": 435,
}
_AARCH64 = {  # include/uapi/asm-generic/unistd.h
    "getcwd": 17,
    "fcntl": 25,
    "openat": 56,
    "close": 57,
    "getdents64": 61,
    "lseek": 62,
    "read": 63,
    "readv": 65,
    "pread64": 67,
    "newfstatat": 79,
    "fstat": 80,
    "exit": 93,
    "exit_group": 94,
    "futex": 98,
    "set_robust_list": 99,
    "nanosleep": 101,
    "clock_gettime": 113,
    "clock_nanosleep": 115,
    "sched_getaffinity": 123,
    "sched_yield": 124,
    "restart_syscall": 128,
    "tgkill": 131,
    "sigaltstack": 132,
    "rt_sigaction": 134,
    "rt_sigprocmask": 135,
    "rt_sigreturn": 139,
    "uname": 160,
    "getrusage": 165,
    "getcpu": 168,
    "gettimeofday": 169,
    "getpid": 172,
    "gettid": 178,
    "sysinfo": 179,
    "sendto": 206,
    "recvfrom": 207,
    "recvmsg": 212,
    "brk": 214,
    "munmap": 215,
    "mremap": 216,
    "clone": 220,
    "mmap": 222,
    "mprotect": 226,
    "madvise": 233,
    "seccomp": 277,
    "getrandom": 278,
    "membarrier": 283,
    "rseq": 293,
    "clone3": 435,
}

MACHINES = {
    "x86_64": Machine(0xC000003E, _X86_64),
    "aarch64": Machine(0xC00000B7, _AARCH64),
}
"""The machines by their names in uname(2)."""
