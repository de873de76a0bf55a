"""Hosts that are network namespaces of one machine, and the wires between them, which can be cut and healed.

    us ──── daemon 1 ──┐
     ├───── daemon 2 ──┼── database
     └─────────────────┘

Everything happens inside a network namespace of the checker's own, which enter() makes; as no root,
inside a user namespace too. A namespace lives as long as a process in it, and each of ours lives on a
pipe from us: however we end, they all end, and nothing of the machine's own network is ever touched.

A cut drops packets where they arrive and tells nobody: no RST, no ICMP, as when a firewall forgot a
connection. That is the silent death which a daemon must notice by itself.
"""

import os
import shutil
import subprocess
import sys

INSIDE = "SLOTBELL_CHAOS_INSIDE"
TABLE = """table inet chaos
flush table inet chaos
table inet chaos {{
	chain arrives {{
		type filter hook input priority filter
		{rules}
	}}
}}
"""


class NoNetworks(Exception):
    """Namespaces cannot be had here; the text says why."""


def _own_namespace():
    """The command words that put a process into a network namespace where it may do as it likes."""
    if os.geteuid() == 0:
        return ["unshare", "--net", "--"]
    # As ourselves, not as root: PostgreSQL refuses root, and files stay ours.
    return ["unshare", "--user", "--map-current-user", "--keep-caps", "--net", "--"]


def enter():
    """Runs this program again, in a network namespace of its own. Returns at once if it is in one."""
    if INSIDE in os.environ:
        return
    tools = {"/usr/sbin", "/sbin"} - set(os.environ.get("PATH", "").split(":"))
    os.environ["PATH"] = ":".join([os.environ.get("PATH", "/usr/bin:/bin"), *sorted(tools)])
    for tool in ("unshare", "nsenter", "setpriv", "ip", "nft"):
        if not shutil.which(tool):
            raise NoNetworks(f"there is no {tool}")
    probe = ("ip link set lo up && ip link add name probe0 type veth peer name probe1 && "
             "nft add table inet probe && unshare --net true")  # fmt: skip
    tried = subprocess.run([*_own_namespace(), "sh", "-c", probe], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise NoNetworks(tried.stderr.strip().splitlines()[0] if tried.stderr.strip() else "the kernel says no")
    command = [*_own_namespace(), sys.executable, *sys.argv]
    sys.stdout.flush()
    os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})


def _run(*command, text=None):
    done = subprocess.run(command, input=text, text=True, check=False, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _interface(towards):
    return "to-" + towards.replace(" ", "")


class Host:
    """One namespace. `prefix` before a command runs it there."""

    def __init__(self, name, holder=None):
        self.name = name
        self.holder = holder  # the process that keeps it alive; None: where we are ourselves
        self.prefix = ("nsenter", f"--net=/proc/{holder.pid}/ns/net", "--") if holder else ()
        self.wires = {}  # other host's name -> (our interface, our address)
        self.rules = {}  # key -> nftables rule

    def address(self, towards):
        """Ours, on the wire to that host."""
        return self.wires[towards.name][1]

    def drop(self, key, rule):
        self.rules[key] = rule
        self._apply()

    def heal(self, key):
        if self.rules.pop(key, None):
            self._apply()

    def _apply(self):
        # The whole table at once: there is no moment with half of the rules.
        rules = "\n\t\t".join(self.rules.values())
        _run(*self.prefix, "nft", "-f", "-", text=TABLE.format(rules=rules))


class Networks:
    """The hosts and wires. Use it in a `with`, after enter()."""

    def __init__(self, *names):
        self.us = Host("us")
        self.hosts = {"us": self.us}
        self._count = 0
        _run("ip", "link", "set", "lo", "up")
        for name in names:
            # `cat` ends with the pipe to it, so with us.
            holder = subprocess.Popen(
                ["unshare", "--net", "--", "sh", "-c", "ip link set lo up && echo && exec cat"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
            if not holder.stdout.readline():
                raise NoNetworks(f"no namespace for {name}")
            self.hosts[name] = Host(name, holder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for host in self.hosts.values():
            if host.holder:
                host.holder.stdin.close()
                host.holder.stdout.close()
                host.holder.wait()

    def __getitem__(self, name):
        return self.hosts[name]

    def wire(self, a, b):
        """A wire between two hosts, with an address at each end."""
        one, other = self.hosts[a], self.hosts[b]
        self._count += 1
        net = f"10.86.{self._count}"
        assert other.holder, f"name {a} first: we are the first end of every wire"
        _run(*one.prefix, "ip", "link", "add", "name", _interface(b), "type", "veth", "peer", "name", _interface(a),
             "netns", str(other.holder.pid))
        for host, towards, address in ((one, other, f"{net}.1"), (other, one, f"{net}.2")):
            interface = _interface(towards.name)
            _run(*host.prefix, "ip", "addr", "add", f"{address}/30", "dev", interface)
            _run(*host.prefix, "ip", "link", "set", interface, "up")
            host.wires[towards.name] = (interface, address)

    # ---- cuts ----

    def cut(self, a, b, way="both"):
        """Nothing arrives any more: of `both` ways, or at b (`there`), or at a (`back`). Returns what heal() wants."""
        one, other = self.hosts[a], self.hosts[b]
        key = f"cut {a} {b}"
        if way != "there":
            one.drop(key, f"iifname {one.wires[b][0]} drop")
        if way != "back":
            other.drop(key, f"iifname {other.wires[a][0]} drop")
        return (one, other, key)

    def cut_port(self, a, b, port):
        """One TCP connection, known by a's port, vanishes; b's end and a's end hear nothing of each other again."""
        one, other = self.hosts[a], self.hosts[b]
        key = f"port {a} {port}"
        one.drop(key, f"iifname {one.wires[b][0]} tcp dport {port} drop")
        other.drop(key, f"iifname {other.wires[a][0]} tcp sport {port} drop")
        return (one, other, key)

    @staticmethod
    def heal(cut):
        for host in cut[:2]:
            host.heal(cut[2])
