"""Take from this process what it does not need: memory, files, the network, other programs.

For one that computes with a stranger's model. Nothing foreign is meant to run there; this is for the day when
a library has a hole. Where the system lacks one of the means (Landlock and seccomp are Linux's), the others
hold. Knows nothing of models.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

MAX_FILE_BYTES = 512 * 1024**2  # of one file that is written: a laid-out vocabulary, at most
# System calls by their numbers: what reaches other machines, programs and processes.
_REFUSED = {
    "x86_64": (
        *(41, 42, 43, 49, 50, 53),  # socket, connect, accept, bind, listen, socketpair
        *(59, 322, 101, 310, 311),  # execve, execveat, ptrace, process_vm_readv and _writev
        *(
            62,
            200,
            129,
            297,
            424,
        ),  # signals but to a thread of its own: kill, tkill, (tg)sigqueueinfo, pidfds
        *(165, 166, 272, 308, 248, 249, 250),  # mount, umount2, unshare, setns, keys
        *(298, 321, 323, 425, 434, 438),  # perf, bpf, userfaultfd, io_uring, pidfds
    ),
    "aarch64": (
        *(198, 203, 202, 200, 201, 199),
        *(221, 281, 117, 270, 271),
        *(129, 130, 138, 240, 424),
        *(40, 39, 97, 268, 217, 218, 219),
        *(241, 280, 282, 425, 434, 438),
    ),
}
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_RULESET, _RULE, _RESTRICT = 444, 445, 446  # Landlock's calls, the same on both
_READ = 0b1101  # execute, read a file, read a folder
_READ_FILE, _WRITE_FILE = 0b100, 0b10
_RIGHTS = {1: 13, 2: 14}  # over files, by Landlock's version; 15 since the third
# Words of the kernel's filter language: load, compare, answer.
_LOAD, _EQUAL, _AT_LEAST, _ANSWER = 0x20, 0x15, 0x35, 0x06
_NOT_PERMITTED = 0x00050000 | errno.EPERM


def memory(room: int) -> None:
    """Let the process take so many bytes more than it has taken by now; what asks for more gets an error."""
    held = _data_bytes()
    with suppress(ValueError, OSError):  # a lower bound may hold already, and not every system has this one
        resource.setrlimit(resource.RLIMIT_DATA, (held + room,) * 2)


def processor(seconds: float) -> None:
    """End the process when it has used the processor for so many seconds more, all threads together."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, resource.RLIM_INFINITY))


def _data_bytes() -> int:
    """What counts against the bound: private memory that can be written, threads' stacks too."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def reach(readable: Iterable[Path], scratch: Path) -> tuple[str, ...]:
    """Keep the process to its libraries, these files and a folder to write in; no network, no programs.

    To be called while there is one thread. Gives what holds of "files", "signals" and "calls" on this system.
    """
    for which, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, MAX_FILE_BYTES)):
        with suppress(ValueError, OSError):
            resource.setrlimit(which, (most, most))
    if sys.platform != "linux" or platform.machine() not in _REFUSED:
        return ()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, which both ask for
    landlock = _only_files(libc, [*_of_the_system(), *readable], [scratch])
    holds = {"files": landlock >= 1, "signals": landlock >= 6, "calls": _without_calls(libc)}
    return tuple(name for name in holds if holds[name])


def _of_the_system() -> list[Path]:
    """What Python, its libraries and the C library read at any time."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values()}
    places |= {"/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/sys"}
    places |= {"/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys"}
    places |= {f"/dev/{name}" for name in ("null", "zero", "random", "urandom")}
    return [*map(Path, places), Path(__file__).resolve().parents[1]]


def _only_files(libc: ctypes.CDLL, readable: Sequence[Path], writable: Sequence[Path]) -> int:
    """Landlock (Linux 5.13): open nothing else from here on. Its version, 0 where the system has none."""
    version = int(libc.syscall(_RULESET, None, ctypes.c_size_t(0), 1))
    if version < 1:
        return 0
    rights = (1 << _RIGHTS.get(version, 15)) - 1
    # Files; to bind and to connect TCP; and signals and abstract sockets of others.
    attributes = struct.pack("QQQ", rights, 3, 3)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(_RULESET, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return 0
    try:
        for path in readable:
            _allow(libc, ruleset, path, _READ)
        for path in (*writable, *Path("/dev").glob("nvidia*"), Path("/dev/null")):
            _allow(libc, ruleset, path, rights)
        return 0 if libc.syscall(_RESTRICT, ruleset, 0) else version
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # there is none here
    try:
        if not path.is_dir():
            rights &= _READ_FILE | _WRITE_FILE | 1
        libc.syscall(_RULE, ruleset, 1, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _without_calls(libc: ctypes.CDLL) -> bool:
    """seccomp: the kernel refuses these calls to every thread. False where it has no filters."""
    machine = platform.machine()
    refused = _REFUSED[machine]
    last = len(refused) + 1  # from a line to the one that refuses, counted at the first of the calls
    lines = [
        (_LOAD, 0, 0, 4),  # which machine's numbers
        (_EQUAL, 1, 0, _AUDIT[machine]),
        (_ANSWER, 0, 0, _NOT_PERMITTED),
        (_LOAD, 0, 0, 0),  # which call
        (_AT_LEAST, last, 0, 0x40000000),  # another numbering of x86_64's
        *((_EQUAL, last - place - 1, 0, call) for place, call in enumerate(refused)),
        (_ANSWER, 0, 0, 0x7FFF0000),  # allowed
        (_ANSWER, 0, 0, _NOT_PERMITTED),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    described = struct.pack("HL", len(lines), ctypes.addressof(program))
    return bool(libc.syscall(_SECCOMP[machine], 1, 1, described) == 0)  # 1: for all threads
