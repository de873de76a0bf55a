"""How the units reach the database: by a password that comes as a credential, and without any network of their own."""

import pytest
from box import ROOT, BoxError
from host import ROLE

UNIT = "slotbelld.service"
CREDENTIAL = "/etc/credstore/slotbell.database-password"


@pytest.fixture
def by_password(host):
    """By TCP and a name, which has to be looked up, with a password."""
    host.sql(f"ALTER ROLE {ROLE} PASSWORD 'open sesame'")
    host.configure(database__url=f"postgresql://{ROLE}@localhost/slotbell")
    yield host
    host.sql(f"ALTER ROLE {ROLE} PASSWORD NULL")


def test_the_password_comes_from_the_credential_store(by_password):
    host = by_password
    host.box.write(CREDENTIAL, "open sesame\n", 0o600)
    mailbox, token = host.enrol()
    host.start()
    host.ring(mailbox, token)
    # Nobody else sees it: not in the environment, not in the log, and its file is root's.
    assert "sesame" not in host.box.path(f"/proc/{host.pid()}/environ").read_bytes().decode(errors="replace")
    assert not any("sesame" in str(entry) for entry in host.box.journal(UNIT))
    assert "Permission denied" in host.box.run(["runuser", "-u", "slotbell", "--", "cat", CREDENTIAL], check=False)
    assert "Permission denied" in host.box.run("runuser -u nobody -- cat /run/credentials/slotbelld.service/*", check=False)


def test_the_password_may_be_encrypted_at_rest(by_password):
    """As docs/operating.md says. The key is the host's, here without a TPM."""
    host = by_password
    folder = "/etc/credstore.encrypted"
    host.box.run(f"mkdir -p {folder} && systemd-creds --with-key=host --name=database-password encrypt - "
                 f"{folder}/slotbell.database-password", stdin="open sesame\n")
    assert b"sesame" not in host.box.path(f"{folder}/slotbell.database-password").read_bytes()
    host.drop_in(UNIT, f"[Service]\nLoadCredentialEncrypted=database-password:{folder}/slotbell.database-password\n")
    host.start()
    assert host.status()["database"]["up"]


def test_without_a_credential_it_says_that_a_password_is_missing_and_waits(by_password):
    after = by_password.box.cursor()
    by_password.box.run(f"systemctl start {UNIT}")
    by_password.box.wait_journal("no password supplied", UNIT, after)
    by_password.box.wait(lambda: "no password supplied" in by_password.box.show(UNIT, "StatusText"), "the status says so")


def test_a_credential_that_is_no_password_is_told(by_password):
    by_password.box.write(CREDENTIAL, "two\nlines\n", 0o600)
    after = by_password.box.cursor()
    with pytest.raises(BoxError):
        by_password.box.run(f"systemctl start {UNIT}")
    by_password.box.wait_journal("the credential database-password, passed by the service manager: it is empty, or not one line", UNIT, after)


@pytest.fixture
def alone(host):
    """The drop-in for a database on this host, installed as its comment says."""
    drop_in = host.box.path("/usr/share/doc/slotbelld/examples/slotbelld-local-database.conf").read_text()
    assert drop_in == (ROOT / "systemd/slotbelld-local-database.conf").read_text()
    host.drop_in(UNIT, drop_in, "slotbelld-local-database")
    host.box.run(f"systemctl enable --now slotbelld.socket slotbelld-admin.socket && systemctl restart {UNIT}")
    host.wait_database()
    return host


def test_without_a_network_bookings_ring_and_monitoring_looks(alone):
    mailbox, token = alone.enrol()
    alone.ring(mailbox, token)

    assert alone.monitoring("readyz") == "ready\n"
    assert "\nslotbell_database_up 1" in alone.monitoring("metrics")
    interfaces = alone.box.path(f"/proc/{alone.pid()}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    networks = [alone.box.run(["readlink", f"/proc/{pid}/ns/net"]) for pid in (1, alone.pid())]
    assert networks[0] != networks[1]


def test_without_a_network_a_restart_and_a_reload_work_as_ever(alone):
    mailbox, token = alone.enrol()
    before = alone.pid()
    alone.box.run(f"systemctl reload {UNIT} && systemctl restart {UNIT}")
    assert alone.pid() != before
    alone.wait_database()
    alone.ring(mailbox, token)


def test_a_database_of_the_network_is_out_of_its_reach(alone):
    alone.configure(database__url=f"postgresql://{ROLE}@127.0.0.1/slotbell")
    after = alone.box.cursor()
    alone.box.run(f"systemctl restart {UNIT}")
    alone.box.wait_journal("database problem", UNIT, after)
    assert alone.status()["database"]["up"] is False
