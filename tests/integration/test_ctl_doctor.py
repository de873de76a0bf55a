"""slotbellctl doctor: green where all is well, and red in the right line for what is broken on purpose."""

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest
from authority import issued
from doctor_help import Patient, is_root, line_of, socket_folder
from session_client import run
from slotbelld import free_port

pytest_plugins = ["fixtures_doctor"]


# ---- green ----


def test_all_is_well_and_nothing_is_left_of_the_canary(patient):
    patient.start()
    found = patient.look("--name", "localhost")
    assert {finding["result"] for finding in found.values()} == {"ok"}, found
    assert re.search(r"arrived after \d+ ms, and its ack was saved after \d+ ms", found["session"]["seen"])
    assert f"process {patient.daemon.pid}, " in found["daemon"]["seen"]
    assert found["rights"]["seen"].startswith("the role slotbelld_login may what")
    assert patient.leftovers() == 0
    told = patient.run("--name", "localhost")
    assert told.stderr == "18 ok, 0 to look at, 0 failed, 0 not checked\n"
    assert line_of(told.stdout, "queue").startswith("ok    queue ") and "->" not in told.stdout


@pytest.mark.parametrize("proxies", ["127.0.0.1", "10.0.0.0/8, 127.0.0.0/8 ::1", "192.0.2.1"])
def test_behind_a_proxy_of_this_machine_it_shows_the_header_that_is_asked_for(patient, proxies):
    patient.start().reload(listen__trusted_proxies=proxies)
    found = patient.look("--name", "localhost")
    assert {finding["result"] for finding in found.values()} == {"ok"}, found


def test_without_an_administrator_it_enrols_nobody_and_says_so(patient):
    patient.start()
    found = patient.look(admin=False)
    assert found["session"]["result"] == "not checked" and "--database URL" in found["session"]["advice"]
    assert {finding["result"] for name, finding in found.items() if name != "session"} == {"ok"}
    # A role that is none is a reason to say so, and no reason to fail all.
    failed, found = patient.red("--database", patient.house.cluster.url(patient.house.name, "slotbelld_login"), admin=False)
    assert failed == {"session"} and "permission denied" in found["session"]["seen"]


def test_canaries_of_visits_that_were_cut_short_go_with_the_next(patient):
    patient.start()
    for mailbox, age in (("canary-old@doctor.invalid", "-1 hour"), ("canary-now@doctor.invalid", "+1 hour")):
        device = patient.house.ctl.query("SELECT slotbell.enrol(%s, 'slotbellctl doctor', NULL, %s, %s)", mailbox, bytes(16), bytes(32))[0]
        patient.house.ctl.query("UPDATE slotbell.device SET expires_at = now() + %s::interval WHERE id = %s", age, device)
    patient.house.enrol("canary-old@example.com", "--expires", "1h")
    patient.look()
    left = patient.house.ctl.query("SELECT address FROM slotbell.mailbox ORDER BY 1")
    assert left == ["canary-now@doctor.invalid", "canary-old@example.com"]


def test_what_the_daemon_has_from_its_environment_counts_and_not_what_we_have(patient):
    url = patient.house.cluster.url(patient.house.name, "slotbelld_login")
    patient.start(prefix=("env", f"SLOTBELL_DATABASE_URL={url}"), database__url="")
    # Ours is an administrator's: it is who enrols the canary.
    found = patient.look(admin=False, env={"SLOTBELLCTL_DATABASE_URL": patient.house.ctl.url})
    assert "the role slotbelld_login" in found["rights"]["seen"] and found["session"]["result"] == "ok"
    # Without a daemon to ask, and nothing in the file, there is only ours.
    assert patient.daemon.stop() == 0
    found = patient.red(admin=False, env={"SLOTBELL_DATABASE_URL": patient.house.ctl.url})[1]
    assert found["configuration"]["result"] == "ok" and "SUPERUSER" in found["rights"]["seen"]


@pytest.mark.skipif(not is_root(), reason="only root can become somebody else")
def test_an_ordinary_user_is_told_what_it_may_not_see(patient):
    """Nothing crashes, and each line says that it is for want of rights."""
    patient.start()
    words = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]
    done = subprocess.run([*words, *patient.command()], capture_output=True, text=True, check=False, timeout=120, cwd="/")
    assert done.returncode == 1 and "Permission denied" in line_of(done.stdout, "configuration")
    assert "18" not in done.stderr and "failed" in done.stderr


# ---- red: files ----


def test_a_broken_configuration_tells_each_problem(patient):
    daemon = patient.start()
    daemon.config.write_text(daemon.config.read_text() + "\n[sessions]\nmax = many\n[drain]\nsecond = 3\n"
                             "[retention]\ndays = 91\n[listen]\norigins = https://addin.example.com/\ntrusted_proxies = host\n")
    failed, found = patient.red()
    assert failed == {"configuration"}
    for words in ("slotbelld.conf:", "[sessions] max = many: must be a whole number", "[drain] second: no such key",
                  "[retention] receipts_days = 90: must not be below days = 91", "[listen] origins = https://addin.example.com/: not an origin",
                  "[listen] trusted_proxies = host",
                  ):  # as slotbelld --check-config tells them
        assert words in found["configuration"]["seen"]
    # What does not hang on it is looked at all the same: the daemon is found by what could be read.
    assert found["daemon"]["result"] == "ok" and found["queue"]["result"] == "ok"
    for name in ("certificate", "key", "database", "port"):
        assert (found[name]["result"], found[name]["seen"]) == ("not checked", "needs what failed above: configuration")


def test_a_configuration_that_is_not_there(patient):
    patient.written().config.unlink()
    failed, found = patient.red()
    assert "configuration" in failed and "cannot be read: No such file or directory" in found["configuration"]["seen"]


def test_an_expired_certificate(patient, tmp_path):
    own = issued(tmp_path / "own", start="20200101000000Z", end="20200201000000Z")
    patient.start()
    patient.daemon.configure(tls__certificate=own / "server.pem", tls__key=own / "server.key")
    failed, found = patient.red("--ca", own / "ca.pem")
    assert failed == {"certificate"} and "expired 2020-02-01 00:00 UTC" in found["certificate"]["seen"]
    assert found["chain"]["result"] == found["key"]["result"] == "ok"
    assert found["port"]["result"] == "warn" and found["port"]["advice"] == "slotbellctl reload"


def test_a_certificate_that_soon_ends_or_has_not_begun(patient, tmp_path):
    soon = issued(tmp_path / "soon", days=3)
    patient.start()
    patient.daemon.reload(tls__certificate=soon / "server.pem", tls__key=soon / "server.key")
    found = patient.look("--ca", soon / "ca.pem")
    assert found["certificate"]["result"] == "warn" and re.search(r"in [23] days", found["certificate"]["seen"])
    assert patient.look("--ca", soon / "ca.pem", "--expiry-days", "2")["certificate"]["result"] == "ok"
    assert found["port"]["result"] == "ok"
    early = issued(tmp_path / "early", start="20400101000000Z", end="20410101000000Z")
    patient.daemon.configure(tls__certificate=early / "server.pem", tls__key=early / "server.key")
    failed, found = patient.red("--ca", early / "ca.pem")
    assert failed == {"certificate"} and "valid from 2040-01-01" in found["certificate"]["seen"]


def test_a_chain_that_clients_will_not_trust(patient, tmp_path):
    other = issued(tmp_path / "other")
    patient.start()
    failed, found = patient.red("--ca", other / "ca.pem")
    assert failed == {"chain"} and "will not trust it" in found["chain"]["seen"]
    failed, found = patient.red("--ca", tmp_path / "none.pem")
    assert failed == {"chain"} and "none.pem" in found["chain"]["seen"]


def test_a_name_that_the_certificate_is_not_for(patient, tmp_path):
    patient.start()
    failed, found = patient.red("--name", "bell.example.com")
    assert failed == {"name"} and "it is not for bell.example.com, but for DNS:localhost" in found["name"]["seen"]
    nameless = issued(tmp_path / "nameless", names=None)
    patient.daemon.configure(tls__certificate=nameless / "server.pem", tls__key=nameless / "server.key")
    failed, found = patient.red("--ca", nameless / "ca.pem")
    assert failed == {"name"} and "subjectAltName" in found["name"]["seen"]


def test_a_wrong_key(patient, tmp_path):
    other = issued(tmp_path / "other")
    patient.start()
    patient.daemon.configure(tls__key=other / "server.key")
    failed, found = patient.red()
    assert failed == {"key"} and "does not belong to the certificate" in found["key"]["seen"]
    patient.daemon.configure(tls__key=patient.house.certificates / "ca.pem")
    failed, found = patient.red()
    assert failed == {"key"} and "no private key in PEM" in found["key"]["seen"]


def test_a_key_that_everybody_can_read_or_the_daemon_cannot(patient, tmp_path):
    patient.start()
    key = tmp_path / "server.key"
    shutil.copy(patient.house.certificates / "server.key", key)
    patient.daemon.configure(tls__key=key)
    key.chmod(0o644)
    failed, found = patient.red()
    assert failed == {"key"} and "mode 0644 lets everybody at it" in found["key"]["seen"]
    key.unlink()
    failed, found = patient.red()
    assert failed == {"key"} and "No such file or directory" in found["key"]["seen"]


@pytest.mark.skipif(not is_root(), reason="only root can look as another user")
def test_files_that_the_daemons_user_cannot_read(patient):
    """By root, who can read everything, for a daemon that runs as somebody else."""
    patient.start()
    failed, found = patient.red("--user", "nobody")
    assert {"key", "ticket-keys"} <= failed and "the daemon's user nobody cannot read it: Permission denied" in found["key"]["seen"]
    failed, found = patient.red("--user", "nobody-at-all")
    assert failed == {"configuration"} and "no user nobody-at-all" in found["configuration"]["seen"]


def test_ticket_keys(patient):
    patient.start()
    patient.tickets.chmod(0o644)
    failed, found = patient.red()
    assert failed == {"ticket-keys"} and "mode 0644" in found["ticket-keys"]["seen"]
    patient.tickets.chmod(0o640)
    for size, good in ((80, True), (640, True), (0, False), (79, False), (720, False)):
        patient.tickets.write_bytes(b"x" * size)
        assert (patient.run(expect=0 if good else 1).returncode == 0) == good
    patient.tickets.unlink()
    assert patient.red()[0] == {"ticket-keys"}


def test_an_unreadable_password_file(patient, tmp_path):
    """libpq passes over such a file without a word, and then has no password."""
    patient.start()
    file = tmp_path / "pgpass"
    url = patient.daemon.settings["database.url"]
    patient.daemon.configure(database__url=f"{url}&passfile={file}")
    failed, found = patient.red()
    assert failed == {"password"} and "No such file or directory" in found["password"]["seen"]
    file.write_text("*:*:*:*:secret\n")
    file.chmod(0o640)
    failed, found = patient.red()
    assert failed == {"password"} and "libpq takes no password" in found["password"]["seen"]
    file.chmod(0o600)
    assert patient.look()["password"]["result"] == "ok"


def test_an_unreadable_credential(patient, tmp_path):
    """What the service manager passed to the daemon is what doctor connects with."""
    house, credential = patient.house, tmp_path / "database-password"
    house.cluster.psql("CREATE ROLE knocker LOGIN PASSWORD 'sesame'; GRANT slotbell_daemon TO knocker")
    try:
        credential.write_text("sesame\n")
        url = f"postgresql://knocker@127.0.0.1:{house.cluster.port}/{house.name}"
        patient.start(prefix=("env", f"CREDENTIALS_DIRECTORY={tmp_path}"), database__url=url)
        found = patient.look()
        assert (found["password"]["seen"], found["database"]["result"], found["listen"]["result"]) == (
            "the credential database-password", "ok", "ok")  # fmt: skip
        for text, words in (("sesame\nand more\n", "not one line"), ("", "it is empty"), ("x" * 2000, "too long")):
            credential.write_text(text)
            failed, found = patient.red()
            assert failed == {"password", "database"} and words in found["password"]["seen"]
            assert "no password supplied" in found["database"]["seen"]
        credential.unlink()
        credential.mkdir()
        assert "Is a directory" in patient.red()[1]["password"]["seen"]
        assert "sesame" not in patient.run(expect=1).stdout
    finally:
        assert patient.daemon.stop() == 0
        house.cluster.psql("DROP ROLE knocker")


# ---- red: the daemon ----


def test_no_daemon(patient):
    patient.written()
    failed, found = patient.red()
    assert failed == {"port", "daemon", "ready"} and "Connection refused" in found["port"]["seen"]
    assert "cannot reach slotbelld" in found["daemon"]["seen"] and "journalctl -u slotbelld" in found["daemon"]["advice"]
    assert found["descriptors"]["result"] == found["session"]["result"] == "not checked"


def test_the_port_taken_by_somebody_else(patient):
    patient.written()
    with socket.create_server(("127.0.0.1", patient.daemon.port)) as other:
        def answer():
            connection, _ = other.accept()
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        failed, found = patient.red()
        thread.join()
    assert {"port", "daemon"} <= failed
    assert "something answers, but not as slotbelld" in found["port"]["seen"] and "ss -ltnp" in found["port"]["advice"]


def test_too_few_descriptors(patient):
    patient.start(prefix=("prlimit", "--nofile=400:400"))
    failed, found = patient.red()
    assert failed == {"descriptors"} and "it may open 400, and sessions.max wants 19006" in found["descriptors"]["seen"]
    assert "LimitNOFILE=19006" in found["descriptors"]["advice"]


@pytest.mark.parametrize("limit, result", [(380, "fail"), (381, "ok"), (382, "ok")])
def test_descriptors_below_at_and_above_what_sessions_want(patient, limit, result):
    patient.start(prefix=("prlimit", f"--nofile={limit}:{limit}"), sessions__max=100)
    found = patient.look(expect=1 if result == "fail" else 0)
    assert {name for name, finding in found.items() if finding["result"] != "ok"} == ({"descriptors"} if result == "fail" else set())


def test_a_daemon_that_is_stuck(patient):
    patient.start()
    patient.daemon.process.send_signal(signal.SIGSTOP)
    try:
        failed, found = patient.red()
    finally:
        patient.daemon.process.send_signal(signal.SIGCONT)
    assert failed == {"port", "daemon", "ready"} and "gave no answer" in found["daemon"]["seen"]


def test_a_daemon_that_is_full_refuses_the_canary(patient):
    patient.start(sessions__max=1)

    async def story():
        async with patient.house.client(patient.daemon, patient.house.enrol("ada@example.com")) as client:
            await client.welcome()
            await client.receive("live")
            failed, found = await asyncio.to_thread(patient.red)
            assert failed == {"session"} and "busy" in found["session"]["seen"]

    run(story())
    assert patient.leftovers() == 0


def test_what_is_typed_wrongly_is_refused(patient):
    patient.written()
    for options in (["--queue-limit", "0"], ["--queue-limit", "100.1"], ["--queue-limit", "x"], ["--expiry-days", "-1"], ["--expiry-days", "3651"],
                    ["more"], ["--nonsense"]):  # fmt: skip
        assert "doctor --help" in patient.run(*options, expect=2).stderr
    for options in (["--queue-limit", "0.01", "--expiry-days", "0"], ["--queue-limit", "100", "--expiry-days", "3650"]):
        patient.red(*options)  # for there is no daemon; what was typed is taken


def test_a_second_daemon_is_found_by_its_socket(patient, tmp_path):
    patient.start()
    with socket_folder() as folder:
        second = Patient(patient.house, tmp_path, folder)
        second.start(listen__admin=f"127.0.0.1:{free_port()}")
        assert f"process {second.daemon.pid}," in second.look()["daemon"]["seen"]
        # --socket wins over what the file says.
        seen = patient.look("--socket", second.settings["control__socket"])["daemon"]["seen"]
        assert f"process {second.daemon.pid}," in seen
