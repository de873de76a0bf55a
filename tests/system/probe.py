"""Tries what somebody would who has taken a service over, and prints what came of it: {attempt: "done" or the error}.

test_sandbox.py runs it with the sandbox of a unit around it, and without one: there most of it must succeed, or the
attempt would prove nothing. Standard library only. Each attempt has a process of its own.
"""

import ctypes
import errno
import json
import mmap
import os
import socket
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
SCRATCH = os.environ.get("RUNTIME_DIRECTORY", "/run/slotbell")
CLONE_NEWUSER, PER_LINUX32, SCHED_FIFO = 0x10000000, 0x0008, os.SCHED_FIFO
SYS_PERSONALITY, SYS_PTRACE, SYS_BPF, SYS_IO_URING_SETUP = 135, 101, 321, 425  # of x86-64


def call(result):
    """Of libc: an error as Python has it."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write(path):
    with open(path, "a", encoding="ascii"):
        pass
    if os.path.getsize(path) == 0 and path.endswith("probe"):
        os.unlink(path)


def connect(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(path)


def execute_what_it_wrote():
    path = os.path.join(SCRATCH, "probe.sh")
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/usr/bin/true\n")
    try:
        os.chmod(path, 0o755)
        run(path)
    finally:
        os.unlink(path)


def run(path):
    if os.spawnv(os.P_WAIT, path, [path, "-c", "exit 0"]) != 0:
        raise OSError(errno.EACCES, "it does not run")


def make_setuid():
    path = os.path.join(SCRATCH, "probe.setuid")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        os.chmod(path, 0o4755)
    finally:
        os.unlink(path)


def writable_code():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def see_other_processes():
    if all(os.stat(f"/proc/{pid}").st_uid == os.getuid() for pid in os.listdir("/proc") if pid.isdigit()):
        raise OSError(errno.ENOENT, "no other process is in sight")
    with open("/proc/1/cmdline", "rb") as file:
        file.read()


def family(number, kind=socket.SOCK_STREAM, protocol=0):
    socket.socket(number, kind, protocol).close()


# What no slotbelld ever does.
FORBIDDEN = {
    "write into /etc": lambda: write("/etc/probe"),
    "write into /usr": lambda: write("/usr/sbin/probe"),
    "write into /": lambda: write("/probe"),
    "write over the key": lambda: write("/etc/slotbell/tls/server.key"),
    "look into /root": lambda: os.listdir("/root"),
    "look into /var": lambda: os.listdir("/var/lib"),
    "talk to D-Bus": lambda: connect("/run/dbus/system_bus_socket"),
    "read another service's password": lambda: open("/etc/credstore/other", encoding="ascii").close(),
    "execute a shell": lambda: run("/usr/bin/dash"),
    "execute what it wrote": execute_what_it_wrote,
    "become root": lambda: os.setuid(0),
    "make a setuid program": make_setuid,
    "make a user namespace": lambda: call(LIBC.unshare(CLONE_NEWUSER)),
    "mount": lambda: call(LIBC.mount(b"probe", SCRATCH.encode(), b"tmpfs", 0, None)) or call(LIBC.umount(SCRATCH.encode())),
    "change its root": lambda: os.chroot("/"),
    "write code": writable_code,
    "rename the host": lambda: socket.sethostname(socket.gethostname()),
    "see other processes": see_other_processes,
    "signal the service manager": lambda: os.kill(1, 0),
    "go first": lambda: os.nice(-1),
    "run in real time": lambda: os.sched_setscheduler(0, SCHED_FIFO, os.sched_param(1)),
    "be another system": lambda: call(LIBC.syscall(SYS_PERSONALITY, PER_LINUX32)),
    "trace": lambda: call(LIBC.syscall(SYS_PTRACE, 0, 0, 0, 0)),
    "load a program into the kernel": lambda: call(LIBC.syscall(SYS_BPF, 0, 0, 0)),
    "use io_uring": lambda: call(LIBC.syscall(SYS_IO_URING_SETUP, 0, 0)),
    "set a kernel's variable": lambda: write("/proc/sys/net/core/somaxconn"),
    "change cgroups": lambda: os.mkdir("/sys/fs/cgroup/probe") or os.rmdir("/sys/fs/cgroup/probe"),
    "use netlink": lambda: family(socket.AF_NETLINK, socket.SOCK_RAW),
    "use raw packets": lambda: family(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
}
# Only where the database is on a unix socket.
NETWORK = {
    "make an IPv4 socket": lambda: family(socket.AF_INET),
    "make an IPv6 socket": lambda: family(socket.AF_INET6),
}
# What slotbelld does.
NEEDED = {
    "read the key": lambda: open("/etc/slotbell/tls/server.key", encoding="ascii").close(),
    "reach PostgreSQL": lambda: connect("/run/postgresql/.s.PGSQL.5432"),
    "make its control socket": lambda: write(os.path.join(SCRATCH, "probe")),
    "look a name up": lambda: socket.getaddrinfo("localhost", 5432),
    "read its password": lambda: open(os.environ["CREDENTIALS_DIRECTORY"] + "/database-password", encoding="ascii").close(),
    "start a thread": lambda: __import__("threading").Thread(target=int).start(),
}

# Of errors, those that say "you may not" or "there is no such thing here". Others mean that it was tried for real.
REFUSALS = {errno.EPERM, errno.EACCES, errno.ENOENT, errno.EROFS, errno.EAFNOSUPPORT, errno.ENOTDIR}


def attempt(function):
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = "done"
        try:
            function()
        except OSError as error:
            if error.errno in REFUSALS or function in NEEDED.values():
                outcome = errno.errorcode.get(error.errno, str(error))
        except BaseException as error:  # of the attempt itself: never to be taken for a refusal
            outcome = f"broken: {error!r}"
        os.write(there, outcome.encode())
        os._exit(0)
    os.close(there)
    with open(here, "rb") as pipe:
        words = pipe.read().decode()
    os.waitpid(child, 0)
    return words or "killed"


def main():
    outcomes = {name: attempt(function) for group in (FORBIDDEN, NETWORK, NEEDED) for name, function in group.items()}
    print(json.dumps(outcomes), flush=True)


if __name__ == "__main__":
    sys.exit(main())
