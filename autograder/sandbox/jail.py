"""Locks the calling process in: namespaces, a root of its own, limits, system calls.

``enter`` is called in a fork of a warm process before it has seen a byte of a student's.  It needs
no root and no daemon: Linux's user namespaces do, since 3.8.  What can't be had is reported, not
passed over: ``enter`` raises where the namespaces fail, and says which of the others it got.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)

NOBODY = 65534
INSIDE = 1000  # the user id that a student's code sees

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT = 1, 2, 4, 32
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 38, 22


class JailError(OSError):
    """This machine does not give the isolation; the message says which step failed."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use; every default has its reason.

    extra_memory: bytes that one process may map above what it starts with: the arrays of an
    exercise take kilobytes, a small training a few hundred MB; file_bytes: what it may write, as
    much as the tmpfs holds; processes: itself, one question, and a few threads; open_files: pipes
    and a figure or two; cpu_seconds: of one process, above any honest cell; wall_seconds: for all
    of a submission, by the clock; cell_seconds: for one cell, three times the longest honest one;
    call_seconds: for one call.  The last two are of processor time: by the clock a cell or a call
    may take ``course.calls.BUSY`` times as much, so that a busy machine takes nobody's points.
    """

    extra_memory: int = 1 << 30
    file_bytes: int = 64 << 20
    processes: int = 24
    open_files: int = 128
    cpu_seconds: int = 120
    wall_seconds: float = 300.0
    cell_seconds: float = 20.0
    call_seconds: float = 10.0
    output_bytes: int = 100_000

    def as_dict(self) -> dict[str, Any]:
        """Plain data, to be sent."""
        return asdict(self)


def _check(result: int, step: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise JailError(number, f"{step}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    _check(
        libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            data.encode() if data else None,
        ),
        f"mount {target}",
    )


def die_with_parent() -> None:
    """Be killed when the parent ends, however it ends."""
    libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)


def unshare() -> None:
    """Leave every namespace of the machine; the next child is process 1 of its own.

    A grader that runs as root is nobody inside: root would be above the limit of processes.
    """
    flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS
    uid, gid = os.getuid(), os.getgid()
    if uid != 0:
        _check(libc.unshare(flags), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{INSIDE} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{INSIDE} {gid} 1")
        return
    # Only a process that stayed outside may map two users: root sets up, nobody runs.
    ready, go = os.pipe()
    helper = os.fork()
    if helper == 0:
        try:
            os.close(go)
            if os.read(ready, 1):
                for kind in ("uid", "gid"):
                    path = Path(f"/proc/{os.getppid()}/{kind}_map")
                    path.write_text(f"0 0 1\n{INSIDE} {NOBODY} 1\n")
                os._exit(0)
        finally:
            os._exit(1)
    os.close(ready)
    _check(libc.unshare(flags), "unshare")
    os.write(go, b"u")
    os.close(go)
    if os.waitpid(helper, 0)[1] != 0:
        raise JailError(1, "the user map can't be written")


def become_nobody() -> None:
    """Give up the root of the namespace, where there is one."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(INSIDE, INSIDE, INSIDE)
        os.setresuid(INSIDE, INSIDE, INSIDE)


def new_root(root: str, folders: list[str], hidden: list[str], limits: Limits) -> None:
    """A new root, mounted on an empty folder: these folders read-only, and /tmp to write in.

    An empty folder is mounted over each hidden one, an empty file over each hidden file.
    """
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755")
    os.mkdir(f"{root}/tmp")  # first: a folder to show may lie below it
    size = f"size={limits.file_bytes},nr_inodes=10000,mode=1777"
    _mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, size)
    for folder in sorted(folders):
        target = root + folder
        if os.path.realpath(folder) != folder:  # another name of one that is mounted
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(os.path.realpath(folder), target)
            continue
        os.makedirs(target, exist_ok=True)
        _mount(folder, target, None, MS_BIND | MS_REC)
        _read_only(target)
    for device in ("null", "zero", "urandom", "random"):
        target = f"{root}/dev/{device}"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
        _mount(f"/dev/{device}", target, None, MS_BIND)
    for path in hidden:
        if os.path.isdir(path):
            flags = MS_RDONLY | MS_NOSUID | MS_NODEV
            _mount("tmpfs", root + path, "tmpfs", flags, "size=4k,mode=555")
        else:
            _mount("/dev/null", root + path, None, MS_BIND)
    os.makedirs(f"{root}/old")
    _check(libc.syscall(_number("pivot_root"), root.encode(), f"{root}/old".encode()), "pivot_root")
    os.chdir("/")
    _check(libc.umount2(b"/old", MNT_DETACH), "umount")
    os.rmdir("/old")
    _mount("none", "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.mkdir("/tmp/home")
    os.chmod("/tmp/home", 0o777)
    os.chdir("/tmp/home")


def _read_only(target: str) -> None:
    """Make a mount and all below it read-only: by mount_setattr (5.12), else the top alone."""
    attributes = struct.pack("<QQQQ", 1 | 2 | 4, 0, 0, 0)  # RDONLY | NOSUID | NODEV
    at_fdcwd, recursive = -100, 0x8000
    done = libc.syscall(442, at_fdcwd, target.encode(), recursive, attributes, len(attributes))
    if done < 0:
        _mount("none", target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def limit(limits: Limits) -> None:
    """The limits of one process and, for the number of processes, of all in the jail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + limits.extra_memory
    for kind, value in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(kind, (value, value))
    with contextlib.suppress(OSError):  # if memory runs out all the same, take this one first
        Path("/proc/self/oom_score_adj").write_text("1000")


# System calls that no exercise needs and that break-outs have used.
FORBIDDEN = {
    "x86_64": {
        "ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
        "unshare": 272, "setns": 308, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
        "keyctl": 250, "add_key": 248, "request_key": 249, "process_vm_readv": 310,
        "process_vm_writev": 311, "io_uring_setup": 425, "io_uring_enter": 426,
        "io_uring_register": 427, "kexec_load": 246, "init_module": 175, "finit_module": 313,
        "delete_module": 176, "reboot": 169, "swapon": 167, "swapoff": 168, "acct": 163,
        "open_by_handle_at": 304, "name_to_handle_at": 303, "pidfd_getfd": 438, "kcmp": 312,
        "move_mount": 429, "open_tree": 428, "fsopen": 430, "fsmount": 432, "mount_setattr": 442,
        "socket": 41, "memfd_create": 319, "memfd_secret": 447, "shmget": 29, "shmat": 30,
        "semget": 64, "msgget": 68, "mq_open": 240, "io_setup": 206, "kexec_file_load": 320,
        "syslog": 103, "iopl": 172, "ioperm": 173, "modify_ldt": 154, "personality": 135,
        "fanotify_init": 300, "fsconfig": 431, "fspick": 433, "quotactl": 179, "vmsplice": 278,
        "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305,
        "migrate_pages": 256, "move_pages": 279, "process_madvise": 440,
    },
    "aarch64": {
        "ptrace": 117, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51,
        "unshare": 97, "setns": 268, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
        "keyctl": 219, "add_key": 217, "request_key": 218, "process_vm_readv": 270,
        "process_vm_writev": 271, "io_uring_setup": 425, "io_uring_enter": 426,
        "io_uring_register": 427, "kexec_load": 104, "init_module": 105, "finit_module": 273,
        "delete_module": 106, "reboot": 142, "swapon": 224, "swapoff": 225, "acct": 89,
        "open_by_handle_at": 265, "name_to_handle_at": 264, "pidfd_getfd": 438, "kcmp": 272,
        "move_mount": 429, "open_tree": 428, "fsopen": 430, "fsmount": 432, "mount_setattr": 442,
        "socket": 198, "memfd_create": 279, "memfd_secret": 447, "shmget": 194, "shmat": 196,
        "semget": 190, "msgget": 186, "mq_open": 180, "io_setup": 0, "kexec_file_load": 294,
        "syslog": 116, "personality": 92, "fanotify_init": 262, "fsconfig": 431, "fspick": 433,
        "quotactl": 60, "vmsplice": 75, "settimeofday": 170, "clock_settime": 112,
        "adjtimex": 171, "clock_adjtime": 266, "migrate_pages": 238, "move_pages": 239,
        "process_madvise": 440,
    },
}  # fmt: skip
# Calls that are needed, and forbidden with some first arguments alone.
_PARTLY = {
    "x86_64": {"clone": 56, "clone3": 435, "prctl": 157},
    "aarch64": {"clone": 220, "clone3": 435, "prctl": 167},
}
_NAMESPACES = 0x7E020000  # every flag of clone() that makes a namespace
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def _number(name: str) -> int:
    try:
        return FORBIDDEN[platform.machine()][name]
    except KeyError:
        raise JailError(38, f"no system call numbers for {platform.machine()}") from None


def no_new_privileges() -> None:
    """No program started from here can gain rights by being setuid."""
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def seccomp() -> None:
    """Answer "not permitted" to the forbidden calls, and kill what uses another architecture's.

    No new user namespace, in which a student would be root; no end to dying with the supervisor.
    The flags of clone3() can't be seen from here: "no such call" makes libc use clone().
    """
    machine = platform.machine()
    partly = _PARTLY[machine]
    numbers = sorted(FORBIDDEN[machine].values())
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    kill, errno_eperm, errno_enosys, allow = 0x80000000, 0x00050001, 0x00050026, 0x7FFF0000
    program = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, _ARCHITECTURE[machine]),
        (give, 0, 0, kill),
        (load, 0, 0, 0),  # the number
    ]
    if machine == "x86_64":  # the x32 numbers would pass by the list
        program += [(at_least, 0, 1, 0x40000000), (give, 0, 0, kill)]
    program += [(equal, 0, 1, partly["clone3"]), (give, 0, 0, errno_enosys)]
    for number, test, value in (
        (partly["clone"], any_bit, _NAMESPACES),
        (partly["prctl"], equal, PR_SET_PDEATHSIG),
    ):
        program += [
            (equal, 0, 4, number),
            (load, 0, 0, 16),  # the first argument's lower half
            (test, 0, 1, value),
            (give, 0, 0, errno_eperm),
            (give, 0, 0, allow),
        ]
    for i, number in enumerate(numbers):
        program.append((equal, len(numbers) - i, 0, number))
    program += [(give, 0, 0, allow), (give, 0, 0, errno_eperm)]
    code = b"".join(struct.pack("HBBI", *each) for each in program)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    _check(libc.prctl(PR_SET_SECCOMP, 2, header, 0, 0), "seccomp")


def landlock(writable: list[str], readable: list[str]) -> None:
    """A second fence around files, should the mounts ever leak: read here, write there alone."""
    version = libc.syscall(444, None, 0, 1)
    _check(version, "landlock")
    all_rights = (1 << (13 if version == 1 else 14 if version == 2 else 15)) - 1
    read_rights = 0b1101  # execute, read a file, read a folder
    ruleset = libc.syscall(444, struct.pack("<Q", all_rights), 8, 0)
    _check(ruleset, "landlock ruleset")
    for folders, rights in ((writable, all_rights), (readable, read_rights)):
        for folder in folders:
            opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            allowed = rights if os.path.isdir(folder) else rights & 0b100111
            rule = struct.pack("<Qi", allowed, opened)
            _check(libc.syscall(445, ruleset, 1, rule, 0), f"landlock {folder}")
            os.close(opened)
    _check(libc.syscall(446, ruleset, 0), "landlock restrict")
    os.close(ruleset)


def drop_capabilities() -> None:
    """Give up what the new user namespace gave."""
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    header = struct.pack("<Ii", 0x20080522, 0)
    _check(libc.capset(header, struct.pack("<6I", *[0] * 6)), "capset")


def enter(root: str, folders: list[str], hidden: list[str], limits: Limits) -> list[str]:
    """Lock the calling process in, as process 1 of the new namespaces; says what it got.

    Raises JailError where a step fails that the isolation rests on.
    """
    got = ["namespaces"]
    limit(limits)  # first: it reads /proc, which the new root does not have
    libc.sethostname(b"jail", 4)
    new_root(root, folders, hidden, limits)
    got += ["root", "limits"]
    become_nobody()
    die_with_parent()
    drop_capabilities()
    no_new_privileges()
    got += ["capabilities", "no_new_privs"]
    for name, step in (
        ("landlock", lambda: landlock(["/tmp", "/dev"], folders)),
        ("seccomp", seccomp),
    ):
        with contextlib.suppress(OSError, KeyError):
            step()
            got.append(name)
    return got
