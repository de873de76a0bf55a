"""The chaos checker's networks: a cut is silent, heals, and is all gone however its maker ends.

Each story runs in a process of its own, this file as a program, for it goes into namespaces.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys

import pytest
from networks import Networks, NoNetworks, enter

QUIET = 0.5  # seconds without an answer are silence: a wire of one machine answers in microseconds
SERVER = """import socket, threading
server = socket.create_server(("", 4000))
print("listening", flush=True)
while True:
    end, _ = server.accept()
    threading.Thread(target=lambda end=end: end.sendall(end.recv(10))).start()
"""


def story(name):
    """Runs a function of this file in a network of its own; returns what it printed."""
    done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@contextlib.contextmanager
def echo_at(host):
    server = subprocess.Popen([*host.prefix, sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "listening\n"
        yield (next(address for _, address in host.wires.values()), 4000)
    finally:
        server.kill()
        server.wait()


def reached(address, seconds=20.0):
    """What becomes of a connection and a word."""
    try:
        with socket.create_connection(address, seconds) as wire:
            wire.sendall(b"hello")
            return wire.recv(10).decode()
    except TimeoutError:
        return "silence"
    except OSError as error:
        return type(error).__name__


def cut_and_heal():
    with Networks("there") as networks:
        networks.wire("us", "there")
        with echo_at(networks["there"]) as address:
            print(reached(address))
            for way in ("both", "there", "back"):
                cut = networks.cut("us", "there", way)
                print(reached(address, QUIET))
                networks.heal(cut)
                print(reached(address))


def cut_one_connection():
    with Networks("there") as networks:
        networks.wire("us", "there")
        with echo_at(networks["there"]) as address, socket.create_connection(address, 5) as wire:
            cut = networks.cut_port("us", "there", wire.getsockname()[1])
            wire.sendall(b"hello")
            print("data" if select.select([wire], [], [], QUIET)[0] else "silence")
            print(reached(address))
            networks.heal(cut)
            print(wire.recv(10).decode())  # TCP's own patience brings it


def three_hosts():
    with Networks("one", "other") as networks:
        networks.wire("us", "one")
        networks.wire("us", "other")
        networks.wire("one", "other")
        with echo_at(networks["other"]):
            address = (networks["other"].address(networks["one"]), 4000)
            here = [*networks["one"].prefix, sys.executable, __file__, "reached"]
            print(subprocess.run([*here, *map(str, address), "20"], stdout=subprocess.PIPE, text=True, check=True).stdout)
            networks.cut("one", "other")
            print(subprocess.run([*here, *map(str, address), str(QUIET)], stdout=subprocess.PIPE, text=True, check=True).stdout)


def nothing():
    pass


def hold():
    with Networks("there") as networks:
        networks.wire("us", "there")
        print(networks["there"].holder.pid, flush=True)
        signal.pause()


def test_a_cut_is_silent_and_heals():
    assert story("cut_and_heal") == ["hello", *["silence", "hello"] * 3]


def test_one_connection_vanishes_and_others_do_not():
    assert story("cut_one_connection") == ["silence", "hello", "hello"]


def test_two_hosts_beside_us_are_cut_from_each_other():
    assert story("three_hosts") == ["hello", "silence"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_however_it_ends(number):
    story("nothing")  # or skip
    process = subprocess.Popen([sys.executable, __file__, "hold"], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
    holder = int(process.stdout.readline())
    handle = os.pidfd_open(holder)
    try:
        process.send_signal(number)
        process.wait()
        assert select.select([handle], [], [], 20)[0], "a namespace outlived its maker"
    finally:
        os.close(handle)
        process.stdout.close()


def test_the_machines_own_network_is_not_touched():
    before = sorted(os.listdir("/sys/class/net"))
    story("three_hosts")
    assert sorted(os.listdir("/sys/class/net")) == before


if __name__ == "__main__":
    if sys.argv[1] == "reached":  # of three_hosts(): inside already
        print(reached((sys.argv[2], int(sys.argv[3])), float(sys.argv[4])))
        sys.exit()
    try:
        enter()
    except NoNetworks as why:
        print(why)
        sys.exit(77)
    globals()[sys.argv[1]]()
