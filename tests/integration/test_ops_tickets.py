"""Session tickets: resumption at another instance and after a restart, rotation by reload, and what is refused."""

import os
import socket
import ssl
import subprocess

import pytest
from ticket_files import Session, older

pytest_plugins = ["fixtures_daemon"]

KEY_BYTES = 80
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])


def context(daemon, version):
    found = daemon.tls()
    found.minimum_version = found.maximum_version = version
    return found


def handshake(daemon, tls, session=None):
    """One connection with a request, whose answer comes after the ticket: (resumed, the session for the next time)."""
    with socket.create_connection((daemon.address, daemon.port), 20) as plain:
        with tls.wrap_socket(plain, server_hostname=daemon.address, session=session) as secure:
            secure.sendall(b"GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n")
            assert secure.recv(4096).startswith(b"HTTP/1.1 404")
            return secure.session_reused, secure.session


@pytest.fixture
def keys(tmp_path):
    """Writes the file of ticket keys, and returns its path."""
    path = tmp_path / "tickets"

    def write(*values):
        new = path.with_suffix(".new")
        new.write_bytes(b"".join(values))
        new.chmod(0o640)
        new.replace(path)
        return path

    return write


@VERSIONS
def test_a_session_resumes_at_another_instance_and_after_a_restart(house, keys, version):
    path = keys(os.urandom(KEY_BYTES))
    first, second = (house.daemon(tls__ticket_keys=path) for _ in range(2))
    tls = context(first, version)
    resumed, session = handshake(first, tls)
    assert not resumed
    resumed, session = handshake(first, tls, session)
    assert resumed, "not even where it came from"
    resumed, session = handshake(second, tls, session)
    assert resumed, "not at the other instance"
    first.kill()
    first.start()
    resumed, session = handshake(first, tls, session)
    assert resumed, "not after a restart"


@VERSIONS
def test_without_a_file_each_process_has_a_key_of_its_own(house, version):
    first, second = house.daemon(), house.daemon()
    tls = context(first, version)
    session = handshake(first, tls)[1]
    assert handshake(first, tls, session)[0]
    assert not handshake(second, tls, handshake(first, tls)[1])[0]


@VERSIONS
def test_a_rotated_key_still_decrypts_and_a_dropped_one_does_not(house, keys, version):
    one, two, three = (os.urandom(KEY_BYTES) for _ in range(3))
    daemon = house.daemon(tls__ticket_keys=keys(one))
    tls = context(daemon, version)
    session = handshake(daemon, tls)[1]

    keys(two, one)
    assert 'changed="ticket-keys"' in daemon.reload()
    resumed, renewed = handshake(daemon, tls, session)
    assert resumed
    keys(three, two)  # what was encrypted with the first is lost, what was renewed is not
    daemon.reload()
    assert handshake(daemon, tls, renewed)[0], "the ticket was not renewed with the new key"
    assert not handshake(daemon, tls, session)[0]
    assert 'changed=""' in daemon.reload()


@VERSIONS
def test_keys_come_and_go_by_reload(house, keys, version):
    daemon = house.daemon()
    tls = context(daemon, version)
    own = handshake(daemon, tls)[1]
    daemon.reload(tls__ticket_keys=keys(os.urandom(KEY_BYTES)))
    resumed, session = handshake(daemon, tls, own)
    assert not resumed
    assert handshake(daemon, tls, session)[0]
    daemon.reload(tls__ticket_keys="")
    assert not handshake(daemon, tls, session)[0]
    assert handshake(daemon, tls, own)[0], "the process' own key is still there"


@pytest.fixture(params=["1.2", "1.3"])
def saved(house, keys, tmp_path, request):
    """A session that resumes at a daemon: what(path) says how the daemon takes one, with `session` and the daemon's `key`.

    By openssl s_client, which keeps sessions in files: Python's are closed books.
    """
    def client(*options):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"{daemon.address}:{daemon.port}", "-CAfile", str(daemon.ca), "-ign_eof",
             "-verify_return_error", f"-tls{request.param.replace('.', '_')}", *options],
            input="GET / HTTP/1.1\r\nHost: here\r\n\r\n", capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
        assert "HTTP/1.1 404" in done.stdout, done.stdout + done.stderr
        (word,) = {word for word in ("New", "Reused") if f"\n{word}, TLSv{request.param}," in done.stdout}
        return word

    class Saved:
        key = os.urandom(KEY_BYTES)
        path = tmp_path / "session"

        def taken(self, ticket=None):
            path = self.path if ticket is None else self.session.write(tmp_path / "other", ticket)
            return client("-sess_in", str(path))

    found = Saved()
    daemon = house.daemon(tls__ticket_keys=keys(found.key))
    assert client("-sess_out", str(found.path)) == "New"
    found.session = Session(found.path)
    assert found.session.ticket.startswith(found.key[:16])
    assert found.taken() == found.taken(found.session.ticket) == "Reused"
    yield found
    assert found.taken() == "Reused", "the good one does not work any more"


def flipped(ticket, at):
    changed = bytearray(ticket)
    changed[at] ^= 1
    return bytes(changed)


def test_a_tampered_ticket_means_a_full_handshake_and_no_harm(saved):
    ticket = saved.session.ticket
    # The key's name, 16 bytes of IV, ciphertext, 32 bytes of MAC.
    for what, at in {"name": 0, "iv": 16, "ciphertext": 40, "its end": -33, "mac": -32, "mac's end": -1}.items():
        assert saved.taken(flipped(ticket, at)) == "New", what


@pytest.mark.parametrize("rubbish", [
    b"x", b"\0" * 16, os.urandom(47), os.urandom(48), os.urandom(208), b"\xff" * 1024, os.urandom(16000),
], ids=lambda value: f"{len(value)} bytes")  # fmt: skip
def test_a_ticket_that_is_rubbish_means_a_full_handshake(saved, rubbish):
    assert saved.taken(rubbish) == "New"


def test_a_ticket_that_begins_like_ours_and_is_rubbish_or_cut_means_a_full_handshake(saved):
    ticket = saved.session.ticket
    for length in (16, 32, 33, 48, 64, 65, len(ticket) - 32, len(ticket) - 1):
        assert saved.taken(ticket[:length]) == "New", length
    assert saved.taken(ticket + b"\0") == "New"
    assert saved.taken(saved.key[:16] + os.urandom(len(ticket) - 16)) == "New"


@pytest.mark.parametrize("hours, word", [(0, "Reused"), (23.9, "Reused"), (24.1, "New"), (24 * 365, "New"), (-0.1, "Reused")],
                         ids=["fresh", "a day but minutes", "a day and minutes", "a year", "of an instance whose clock is ahead"])  # fmt: skip
def test_a_ticket_is_good_for_a_day(saved, hours, word):
    """The client still offers it: that it is over only the daemon knows."""
    assert saved.taken(older(saved.session.ticket, saved.key, int(hours * 3600))) == word


def edge(count, size=KEY_BYTES):
    return [os.urandom(size) for _ in range(count)]


@pytest.mark.parametrize("content, mode, words", [
    ([], 0o640, "0 bytes; must be 80 random bytes for each key, 1 to 8 of them"),
    ([os.urandom(79)], 0o640, "79 bytes"),
    ([os.urandom(81)], 0o640, "81 bytes"),
    (edge(9), 0o640, "720 bytes"),
    ([b"x" * 80, b"x" * 80], 0o640, "key 2 is named as key 1 is"),
    (edge(1), 0o644, "mode 0644 lets others have a hand on the keys; chmod 640 it"),
    (edge(1), 0o660, "mode 0660"),
    (edge(1), 0o604, "mode 0604"),
], ids=["empty", "79", "81", "nine keys", "twice", "0644", "0660", "0604"])
def test_a_bad_file_is_refused_and_the_old_keys_stay(house, keys, content, mode, words):
    path = keys(*edge(1))
    daemon = house.daemon(tls__ticket_keys=path)
    tls = context(daemon, ssl.TLSVersion.TLSv1_3)
    session = handshake(daemon, tls)[1]
    keys(*content).chmod(mode)
    said = daemon.reload("reload problem")
    assert f"[tls] ticket_keys = {path}: " in said and words in said
    assert handshake(daemon, tls, session)[0]


@pytest.mark.parametrize("count, mode", [(1, 0o400), (8, 0o640)])
def test_the_smallest_and_the_largest_file_are_taken(house, keys, count, mode):
    values = edge(count)
    path = keys(*values)
    path.chmod(mode)
    daemon = house.daemon(tls__ticket_keys=path)
    tls = context(daemon, ssl.TLSVersion.TLSv1_3)
    session = handshake(daemon, tls)[1]
    assert handshake(daemon, tls, session)[0]
    # The last of them decrypts, too.
    keys(*edge(count - 1), values[0])
    daemon.reload()
    assert handshake(daemon, tls, session)[0]


def test_what_is_no_file_is_refused_without_a_wait(house, tmp_path):
    daemon = house.daemon()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert "pipe: not a file" in daemon.reload("reload problem", tls__ticket_keys=pipe)
    assert "not a file" in daemon.reload("reload problem", tls__ticket_keys=tmp_path)
    assert "gone: cannot be read: No such file or directory" in daemon.reload("reload problem", tls__ticket_keys=tmp_path / "gone")
