"""Attacks on the machine: network, files, other processes, the kernel."""

from __future__ import annotations

from attacks import FULL, Attack, spoilt

SYSCALLS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    done = libc.syscall(*args)
    if done >= 0: print("GOT", args[0])
"""

ATTACKS = [
    Attack(
        "network",
        "connects to the grader's machine, by name, by address, by IPv6 and by raw packets",
        setup=(
            "import socket\n"
            "for family, kind in ((2, 1), (2, 2), (10, 1), (2, 3), (17, 3), (16, 3), (1, 1)):\n"
            "    try: s = socket.socket(family, kind); print('GOT socket', family, kind)\n"
            "    except OSError: continue\n"
            "    s.settimeout(1)\n"
            "    for address in (('127.0.0.1', @PORT@), ('localhost', @PORT@), '\\0@ABSTRACT@'):\n"
            "        try: s.connect(address); print('GOT connected'); s.send(b'hello')\n"
            "        except (OSError, TypeError, ValueError): pass\n"
            "try: print('GOT', socket.getaddrinfo('example.org', 80))\n"
            "except OSError: pass\n"
        ),
    ),
    Attack(
        "network by a program",
        "lets programs of the machine do it",
        setup=(
            "import subprocess\n"
            "for command in ('curl -m1 http://127.0.0.1:@PORT@', 'wget -T1 http://127.0.0.1:@PORT@',"
            " 'bash -c \"echo x > /dev/tcp/127.0.0.1/@PORT@\"', 'nc 127.0.0.1 @PORT@',"
            " 'ping -c1 127.0.0.1', 'sudo id', 'su -c id'):\n"
            "    done = subprocess.run(command, shell=True, capture_output=True)\n"
            "    if done.returncode == 0: print('GOT', command)\n"
        ),
    ),
    Attack(
        "files outside",
        "writes, moves and removes files of the machine",
        setup=(
            "import os, shutil\n"
            "for path in ('@CANARY@', '@HOUSE@/@MARK@', '/etc/@MARK@', '/root/@MARK@', '/@MARK@',"
            " '/usr/bin/@MARK@', '/usr/lib/@MARK@', os.__file__, np.__file__):\n"
            "    for mode in ('w', 'a', 'r+'):\n"
            "        try: open(path, mode).write('import os'); print('GOT wrote', path)\n"
            "        except OSError: pass\n"
            "    for step in (os.remove, lambda p: os.chmod(p, 0o777), os.utime,"
            " lambda p: os.rename(p, p + 'x'), lambda p: os.truncate(p, 0),"
            " lambda p: os.link(p, '/tmp/home/x')):\n"
            "        try: step(path); print('GOT', step, path)\n"
            "        except OSError: pass\n"
            "try: print('GOT', open('@CANARY@').read())\n"
            "except OSError: pass\n"
        ),
    ),
    Attack(
        "symlinks",
        "makes links that lead outside, and writes through them",
        setup=(
            "import os\n"
            "for n, target in enumerate(('@CANARY@', '@HOUSE@', '/', '/proc/1/root', '..')):\n"
            "    try:\n"
            "        os.symlink(target, f'/tmp/home/link{n}')\n"
            "        open(f'/tmp/home/link{n}' + ('' if n == 0 else '/@MARK@'), 'w').write('x')\n"
            "        if n != 4: print('GOT', target)\n"
            "    except OSError: pass\n"
        ),
    ),
    Attack(
        "the libraries",
        "puts code into the folders that the next submission imports from",
        setup=(
            "import os, sys\n"
            "for folder in (*sys.path, os.path.dirname(np.__file__), sys.prefix + '/bin'):\n"
            # Its own /tmp, where it works, may be written: it ends with the submission.
            "    if os.path.realpath(folder).startswith('/tmp'): continue\n"
            "    for name in ('sitecustomize.py', '@MARK@.pth', '@MARK@.py'):\n"
            "        try: open(os.path.join(folder, name), 'w').write('x'); print('GOT', folder)\n"
            "        except OSError: pass\n"
        ),
    ),
    Attack(
        "signals",
        "sends every signal to the grader, to its parents, and to all",
        setup=(
            "import os, signal\n"
            "for pid in (@PID@, os.getppid(), 0, 1, -1, 2, 3):\n"
            "    for n in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):\n"
            "        if pid in (0, 1) and n != signal.SIGKILL: continue\n"
            "        try: os.kill(pid, n)\n"
            "        except OSError: pass\n"
        ),
    ),
    spoilt(
        "a stopped parent",
        "stops, interrupts and alarms the process that waits for it",
        "import os, signal\n"
        "for n in (signal.SIGSTOP, signal.SIGKILL, signal.SIGUSR1, signal.SIGTERM):\n"
        "    os.kill(os.getppid(), n)\n"
        "return 0.0",
    ),
    Attack(
        "privileged calls",
        "mounts, unshares, traces, becomes root, makes devices and loads modules",
        setup=(
            SYSCALLS
            + "import platform\n"
            + "if platform.machine() == 'x86_64':\n"
            + "    call(165, b'none', b'/tmp', b'tmpfs', 0, None)\n"
            + "    call(165, b'proc', b'/tmp/home', b'proc', 0, None)\n"
            + "    for flags in (0x10000000, 0x00020000, 0x40000000): call(272, flags)\n"
            + "    call(101, 16, 1, 0, 0)\n"
            + "    call(310, @PID@, 0, 0, 0, 0, 0)\n"
            + "    call(308, 0, 0)\n"
            + "    call(161, b'/tmp')\n"
            + "    call(155, b'/tmp', b'/tmp')\n"
            + "    call(321, 0, 0, 0)\n"
            + "    call(425, 8, 0)\n"
            + "    call(298, 0, 0, 0, 0, 0)\n"
            + "    call(323, 0)\n"
            + "    call(175, 0, 0, 0)\n"
            + "    call(435, 0, 0)\n"
            + "    call(103, 3, 0, 0)\n"
            + "    call(41, 2, 1, 0)\n"
            + "for step in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0),"
            " lambda: os.setgroups([0]), lambda: os.mknod('/tmp/d', 0o60666, 0x800),"
            " lambda: os.chroot('/tmp'), lambda: os.sethostname('x') if hasattr(os, 'sethostname')"
            " else 1 / 0, lambda: os.nice(-5), lambda: os.sched_setscheduler(0, 1,"
            " os.sched_param(1))):\n"
            + "    try: step(); print('GOT', step)\n"
            + "    except (OSError, ZeroDivisionError): pass\n"
        ),
    ),
    Attack(
        "a namespace of its own",
        "makes a user namespace by clone(), in which it would be root",
        setup=(
            SYSCALLS
            + "import platform, signal\n"
            + "for flag in (0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x08000000):\n"
            + "    n = 56 if platform.machine() == 'x86_64' else 220\n"
            + "    pid = libc.syscall(n, flag | signal.SIGCHLD, 0, 0, 0, 0)\n"
            + "    if pid == 0: os._exit(0)\n"
            + "    if pid > 0: print('GOT namespace', hex(flag))\n"
        ),
    ),
    Attack(
        "outliving the grader",
        "asks not to die with its supervisor, and goes into the background",
        setup=(
            SYSCALLS
            + "if libc.prctl(1, 0, 0, 0, 0) == 0: print('GOT no death signal')\n"
            + "if os.fork() == 0:\n"
            + "    os.setsid()\n"
            + "    if os.fork() == 0:\n"
            + "        import time; time.sleep(600)\n"
            + "    os._exit(0)\n"
        ),
        honest=True,
        earns=FULL,
    ),
    Attack(
        "limits raised",
        "raises its own limits, and those of others",
        setup=(
            "import resource\n"
            "for kind in range(16):\n"
            "    soft, hard = resource.getrlimit(kind)\n"
            "    try:\n"
            "        if hard != resource.RLIM_INFINITY:\n"
            "            resource.setrlimit(kind, (hard, resource.RLIM_INFINITY))\n"
            "            print('GOT', kind)\n"
            "    except (ValueError, OSError): pass\n"
        ),
        honest=True,
        earns=FULL,
    ),
    Attack(
        "descriptors to the grader",
        "sends open descriptors over the channel, and half closes it",
        last=(
            "import os, socket, stat\n"
            "for n in range(3, 64):\n"
            "    try:\n"
            "        if stat.S_ISSOCK(os.fstat(n).st_mode):\n"
            "            channel = socket.socket(fileno=os.dup(n))\n"
            "            socket.send_fds(channel, [b'x'], [0, 1, 2] * 20)\n"
            "            channel.shutdown(socket.SHUT_RD)\n"
            "    except OSError: pass\n"
        ),
        honest=True,
        earns=FULL,
    ),
    Attack(
        "newer system calls",
        "clone3, io_uring, userfaultfd, keys, pidfd, memory of others, watches, own filters",
        setup=(
            SYSCALLS
            + "import platform\n"
            + "if platform.machine() == 'x86_64':\n"
            + "    room = ctypes.create_string_buffer(256)\n"
            + "    call(425, 8, room); call(323, 0); call(323, 1)\n"
            + "    call(319, b'x', 3); call(447, 0)\n"
            + "    call(248, b'user', b'x', b'y', 1, -3); call(250, 0, -3, 0)\n"
            + "    call(249, b'user', b'x', None, -3); call(435, room, 88); call(300, 0, 0)\n"
            + "    for pid in (1, 2, os.getppid(), @PID@):\n"
            + "        fd = libc.syscall(434, pid, 0)\n"
            + "        if fd >= 0: call(438, fd, 3, 0)\n"
            + "        call(310, pid, 0, 0, 0, 0, 0); call(311, pid, 0, 0, 0, 0, 0)\n"
            + "        call(101, 16, pid, 0, 0); call(101, 0x4206, pid, 0, 0)\n"
            + "for path in ('/proc/1/mem', '/proc/self/mem', '/proc/sys/kernel/core_pattern'):\n"
            + "    try: open(path, 'r+b'); print('GOT', path)\n"
            + "    except OSError: pass\n"
        ),
    ),
]
