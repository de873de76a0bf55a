"""Reload: what changes at once, what needs a restart, what is refused; and that no session notices."""

import signal
import socket
import ssl
import subprocess

import pytest
import websockets
from authority import issued
from session_client import run
from slotbelld import certificate

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"


def shown_certificate(daemon):
    """What a new connection is shown, in DER."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((daemon.address, daemon.port), 20) as plain, context.wrap_socket(plain) as secure:
        return secure.getpeercert(binary_form=True)


def der(pem):
    return ssl.PEM_cert_to_DER_cert(pem.read_text().partition("-----END")[0] + "-----END CERTIFICATE-----\n")


@pytest.fixture
def others(tmp_path):
    """Another authority and certificate."""
    return certificate(tmp_path / "others")


def test_a_new_certificate_under_a_live_session(house, others):
    daemon, token = house.daemon(), house.enrol(ADA)
    assert shown_certificate(daemon) == der(house.certificates / "server.pem")

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            said = daemon.reload(tls__certificate=others / "server.pem", tls__key=others / "server.key")
            assert 'changed="tls.certificate tls.key certificate"' in said
            assert shown_certificate(daemon) == der(others / "server.pem")
            house.publish(ADA)
            booking = await client.receive("booking")
            await client.ack(booking["cursor"])
            await client.acked(booking["cursor"])

    run(story())


def test_a_renewed_certificate_in_the_same_file(house, others):
    daemon = house.daemon()
    daemon.reload(tls__certificate=others / "server.pem", tls__key=others / "server.key")
    old = shown_certificate(daemon)
    (others / "names").unlink()  # dev-ca.sh keeps what is complete
    certificate(others)
    assert shown_certificate(daemon) == old
    assert 'changed="certificate"' in daemon.reload()
    assert shown_certificate(daemon) == der(others / "server.pem") != old


def expired(own, others):
    old = issued(others / "old", start="20200101000000Z", end="20200201000000Z")
    return old / "server.pem", old / "server.key"


@pytest.mark.parametrize("pair, words", [
    (lambda own, others: (others / "server.pem", own / "server.key"), "does not belong to the certificate"),
    (lambda own, others: (own / "gone.pem", own / "server.key"), "gone.pem: cannot be read: No such file or directory"),
    (lambda own, others: (own / "server.key", own / "server.key"), "not a certificate in PEM: no start line"),
    (lambda own, others: (own / "server.pem", own / "server.pem"), "not a private key in PEM"),
    (expired, "has expired"),
], ids=["of another", "gone", "no certificate", "no key", "expired"])
def test_a_bad_pair_is_refused_and_the_old_one_stays(house, others, pair, words):
    daemon = house.daemon()
    before = shown_certificate(daemon)
    pem, key = pair(house.certificates, others)
    said = daemon.reload("reload problem", tls__certificate=pem, tls__key=key, log__level="debug")
    assert words in said and "[tls]" in said and "problems=1" in said
    assert shown_certificate(daemon) == before
    assert "level=debug" not in daemon.log_text(), "a refused reload changed something all the same"
    # And once it is put right, the next one takes everything.
    said = daemon.reload(tls__certificate=house.certificates / "server.pem", tls__key=house.certificates / "server.key")
    assert 'changed="log.level"' in said


def test_an_encrypted_key_is_refused_and_nothing_waits_for_its_passphrase(house, others):
    daemon = house.daemon()
    subprocess.run(["openssl", "ec", "-aes256", "-passout", "pass:secret", "-in", str(house.certificates / "server.key"),
                    "-out", str(others / "locked.key")], check=True, capture_output=True)
    assert "is encrypted; take its passphrase off" in daemon.reload("reload problem", tls__key=others / "locked.key")


def test_all_problems_are_told_at_once_and_then_nothing_changes(house):
    daemon = house.daemon()
    daemon.configure(log__level="loud", sessions__max=0, tls__key="/nowhere/key.pem", sessions__windw=3)
    before = len(daemon.log_text())
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_log("/nowhere/key.pem", before)
    said = daemon.log_text()[before:]
    assert "problems=4" in said
    for words in ("level = loud: must be one of", "max = 0: must be a whole number from 1 to 1000000", "windw: no such key",
                  "/nowhere/key.pem: cannot be read"):
        assert words in said, words


def test_what_needs_a_restart_says_so_by_name_and_the_rest_is_taken(house):
    daemon, token = house.daemon(), house.enrol(ADA)
    changes = {"listen__address": "127.0.0.1:1", "database__url": "postgresql://nowhere/x", "sessions__window": 7,
               "sessions__heartbeat_seconds": 3, "log__level": "debug"}
    said = daemon.reload("needs a restart", **changes)
    assert 'keys="listen.address database.url sessions.window sessions.heartbeat_seconds"' in said
    assert 'changed="log.level"' in said
    # Said again, for it still does; and it goes on as it was.
    assert "listen.address" in daemon.reload("needs a restart")

    async def story():
        async with house.client(daemon, token) as client:
            welcome = await client.welcome()
            assert (welcome["window"], welcome["heartbeat_seconds"]) == (32, 25)

    run(story())


def test_limits_and_origins_change_at_once(house):
    daemon, tokens = house.daemon(), [house.enrol(f"host{i}@example.com") for i in range(3)]

    async def refused(token):
        async with house.client(daemon, token) as client:
            return await client.closed()

    async def story():
        async with house.client(daemon, tokens[0]) as first, house.client(daemon, tokens[1]) as second:
            await first.welcome()
            await second.welcome()
            daemon.reload(sessions__max=2, sessions__handshakes=1, listen__origins="https://a.example")
            assert await refused(tokens[2]) == 1013
            with pytest.raises(websockets.InvalidStatusCode) as status:
                async with house.client(daemon, tokens[2], origin="https://b.example"):
                    pass
            assert status.value.status_code == 403
            daemon.reload(sessions__max=3, listen__origins="https://b.example")
            async with house.client(daemon, tokens[2], origin="https://b.example") as third:
                await third.welcome()
            # A limit below what is there ends nobody.
            daemon.reload(sessions__max=1)
            house.publish("host0@example.com")
            await first.until("booking")

    run(story())


def test_log_level_and_format_change_at_once(house):
    daemon = house.daemon()

    async def stranger():
        async with house.client(daemon, None):
            pass

    run(stranger())
    assert "level=debug" not in daemon.log_text()
    daemon.reload(log__level="debug")
    run(stranger())
    daemon.wait_log('level=debug event="session ended"')
    daemon.configure(log__format="json")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_log('"level":"notice","event":"reloaded","changed":"log.format"')


def test_many_signals_in_a_row_end_with_the_newest_file(house):
    daemon = house.daemon()
    before = len(daemon.log_text())
    for window in (100, 200, 300):
        daemon.configure(sessions__max=window)
        for _ in range(5):
            daemon.process.send_signal(signal.SIGHUP)
    daemon.configure(sessions__max=400)
    daemon.reload()
    # Whatever was read when, the last word is the file's: nothing is left to change.
    assert 'changed=""' in daemon.reload() or 'changed=""' in daemon.reload()
    assert "refused" not in daemon.log_text()[before:]



def test_the_same_is_refused_at_the_start_with_exit_code_3(house, others):
    daemon = house.daemon(start=False, tls__key=others / "server.key", sessions__max=0)
    daemon.configure()
    done = subprocess.run([str(daemon.program), "--config", str(daemon.config), "--check-config"], capture_output=True,
                          text=True, check=False, timeout=30)
    assert done.returncode == 3
    assert "[tls] key = " in done.stderr and "does not belong to the certificate" in done.stderr
    assert "max = 0" in done.stderr and "has 2 problems" in done.stderr
