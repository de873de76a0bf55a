"""A private PgBouncer before a house's database.

Test modules ask for it by `pytest_plugins = ["fixtures_daemon", "fixtures_bouncer"]`.
"""

import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import subprocess

import pytest
from ctl_support import wait_until
from fixtures_daemon import LOGIN
from slotbelld import free_port


@contextlib.contextmanager
def running(house, folder, mode):
    """It runs as PostgreSQL's user where we are root, which it refuses."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program, "pgbouncer is not installed"
    folder = pathlib.Path(folder)
    folder.mkdir()
    port = free_port()
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{house.name} = host={house.cluster.socket_dir} port={house.cluster.port} user={LOGIN}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {mode}\nlogfile =\n", encoding="utf-8")  # fmt: skip
    command = [program, str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        command = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", "--", *command]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *command], stdout=log, stderr=log)
    def listens():
        assert process.poll() is None, (folder / "log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    try:
        wait_until(listens, "pgbouncer listens")
        yield f"postgresql://{LOGIN}@127.0.0.1:{port}/{house.name}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bouncer(house):
    """`with bouncer("transaction") as url`"""
    folder = pathlib.Path(f"/tmp/sb-bouncer-{os.getpid()}")  # where another user can read, too
    folder.mkdir(mode=0o755)
    yield lambda mode: running(house, folder / mode, mode)
    shutil.rmtree(folder)
