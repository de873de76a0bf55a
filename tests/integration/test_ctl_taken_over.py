"""A daemon that was taken over, against root who runs slotbellctl: whatever it says is read and used with no right of root's."""

import json
import os
import pathlib
import pty
import re
import socket
import subprocess
import time

import pytest
from ctl_support import program
from doctor_checks import CHECKS
from doctor_help import is_root, line_of
from taken_over import SECRET, SOMEBODY, answer, engine_url, server_that_speaks_tls, taken_over

pytest_plugins = ["fixtures_daemon"]
pytestmark = pytest.mark.skipif(not is_root(), reason="only root has something to lose")

NOBODY = 65534
UNSHED = str(pathlib.Path(program()).parent / "tests/ctl_unshed")
LOADING = str(pathlib.Path(program()).parent / "tests/ctl_loading")  # which these tests run, but where they say else


@pytest.fixture
def fake(house):
    with taken_over(house.certificates) as daemon:
        yield daemon


@pytest.fixture
def tls_port():
    with server_that_speaks_tls() as port:
        yield port


def doctor(house, fake, *options, known=None, **more):
    """As root, whose secrets are in the URL and in the environment; on a terminal."""
    terminal, theirs = pty.openpty()
    environment = {**house.ctl.environment(), "PGOPTIONS": f"-c application_name={SECRET}", "SLOTBELL_DATABASE_URL": f"postgresql://{SECRET}@nowhere/"}
    words = [known or LOADING, "doctor", "--config", str(fake.config), "--database", f"{house.ctl.url}&password={SECRET}", *map(str, options)]
    try:
        return subprocess.run(words, env=environment, stdin=theirs, stderr=subprocess.PIPE, stdout=subprocess.PIPE, check=False,
                              timeout=120, start_new_session=True, **more)  # fmt: skip
    finally:
        os.close(theirs)
        os.close(terminal)


def look(house, fake, *options, known=None, **more):
    done = doctor(house, fake, "--json", *options, known=known, **more)
    found = {line["check"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert list(found) == CHECKS, done
    return found


def is_clean(done):
    """No byte of what was printed does anything to a terminal."""
    text = (done.stdout + done.stderr).decode()
    return not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def leftovers(house):
    return house.ctl.query("SELECT count(*) FROM slotbell.mailbox WHERE address LIKE 'canary%'")


# ---- code that the daemon has loaded ----


@pytest.mark.parametrize("user", [NOBODY, SOMEBODY])
def test_an_engine_that_it_names_runs_as_its_user_for_good_and_finds_nothing_of_roots(house, fake, tls_port, user):
    fake.build_engine()
    fake.start(user, {"SLOTBELL_DATABASE_URL": engine_url(fake, tls_port), "OPENSSL_CONF": str(fake.folder / "openssl.cnf"),
                      "LD_PRELOAD": str(fake.folder / "engine.so"), "PGSYSCONFDIR": str(fake.folder)})  # fmt: skip
    fake.report.unlink(missing_ok=True)  # of its own start
    look(house, fake)
    saw = fake.reported()
    assert saw, "libpq did not load it: this test shows nothing"
    assert set(saw["uids"]) == set(saw["gids"]) == {f"{user} {user} {user}"} and set(saw["groups"]) == {""}
    assert set(saw["CapPrm"]) == set(saw["CapEff"]) == {"0" * 16} and set(saw["NoNewPrivs"]) == {"1"}
    assert set(saw["back"]) == set(saw["dumpable"]) == set(saw["terminal"]) == {"0"}
    assert set(saw["secrets"]) == {"0"}, "the administrator's URL and environment are in its memory"
    names = {variable.partition("=")[0] for variable in saw["variable"]}
    assert names - {"SSL_CERT_FILE", "SSL_CERT_DIR"} == {"PATH", "RES_OPTIONS", "SLOTBELL_DATABASE_URL", "PGSYSCONFDIR"}, names
    files = {tuple(line.split(None, 1)) for line in saw["fd"]}
    assert {number for number, target in files if target.startswith("pipe:")} == {"0", "1"}
    assert all(re.match(r"pipe:|/dev/null$|socket:|anon_inode:|/proc/|" + str(fake.folder), target) for _, target in files), files
    assert not any(target.startswith(("/dev/pts", "/dev/tty")) for _, target in files)


@pytest.mark.parametrize("way", ["URL", "variable", "service"])
def test_an_engine_that_it_names_is_not_loaded(house, fake, tls_port, way):
    """doctor looks from outside of the daemon's sandbox, and what it loads would be there too."""
    library, url = fake.build_engine(), engine_url(fake, tls_port)
    named, rest = url.split("&sslkey=")[0], {"URL": {}, "variable": {"PGSSLKEY": f"{library}:key"},
                                             "service": {"PGSERVICEFILE": str(fake.folder / "services")}}[way]  # fmt: skip
    (fake.folder / "services").write_text(f"[evil]\nsslkey={library}:key\n")
    fake.start(SOMEBODY, {"SLOTBELL_DATABASE_URL": {"URL": url, "variable": named, "service": f"{named}&service=evil"}[way], **rest})
    found = look(house, fake, known=program())
    assert not fake.reported() and "names an OpenSSL engine" in found["database"]["seen"], found["database"]
    look(house, fake, known=LOADING)
    assert fake.reported(), "this test shows nothing"


def test_without_the_remedy_the_engine_is_root_again(house, fake, tls_port):
    """As it was: only the effective ids are changed."""
    fake.build_engine()
    fake.start(SOMEBODY, {"SLOTBELL_DATABASE_URL": engine_url(fake, tls_port), "PGAPPNAME": SECRET})
    doctor(house, fake, known=UNSHED)
    saw = fake.reported()
    assert saw["secrets"][0] != "0", "it would find one"
    assert saw["uids"][0] == f"0 {SOMEBODY} 0" and saw["back"][0] == "1" and saw["uids"][1] == "0 0 0"


@pytest.mark.parametrize("mode", ["crash", "forge", "enrol", "long"])
def test_a_worker_in_a_strangers_hands_can_end_the_look_and_no_more(house, fake, tls_port, mode):
    fake.build_engine(mode)
    fake.start(SOMEBODY, {"SLOTBELL_DATABASE_URL": engine_url(fake, tls_port)})
    done = doctor(house, fake)
    assert fake.reported() and done.returncode == 1 and is_clean(done), done
    text = done.stdout.decode()
    assert [re.search(r"^(?:ok|warn|fail|-) +([a-z-]+) ", line)[1] for line in text.splitlines() if line[:1] not in " "] == CHECKS
    assert f"the process that looks as the daemon's user {SOMEBODY} gave no answer" in text
    assert line_of(text, "session").startswith("-") and line_of(text, "queue").startswith("ok")
    assert leftovers(house) == [0]


# ---- who it is ----


def test_the_pid_that_it_tells_is_not_looked_at(house, fake):
    fake.start()
    for pid in (1, os.getpid(), 2**62, "1", None):
        fake.say(answer(pid=pid, sessions=0, sessions_max=1, descriptors={"limit": 10000}, version=house_version()))
        found = look(house, fake)
        assert found["configuration"]["seen"].endswith(f"files are looked at as the daemon's user {SOMEBODY}")
        assert f"process {fake.process.pid}, " in found["daemon"]["seen"], (pid, found["daemon"])


def house_version():
    return subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def test_a_socket_that_root_made_does_not_make_it_root(house, fake, tls_port):
    """As a service manager makes them."""
    fake.build_engine()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(fake.path))
        server.listen()
        fake.start(SOMEBODY, {"SLOTBELL_DATABASE_URL": engine_url(fake, tls_port)}, listening=server)
        found = look(house, fake)
    assert found["configuration"]["seen"].endswith("files are looked at as the daemon's user nobody")
    assert found["daemon"]["result"] != "not checked" and not fake.reported()


def test_a_process_of_roots_that_is_not_slotbelld_is_not_believed(house, fake, tls_port):
    fake.build_engine()
    fake.start(0, {"SLOTBELL_DATABASE_URL": engine_url(fake, tls_port)})
    assert look(house, fake)["configuration"]["seen"].endswith("files are looked at as the daemon's user nobody")
    assert not fake.reported()


def test_an_answer_of_another_process_than_the_one_that_listens_is_not_believed(house, fake, tls_port):
    """A listener may end, and its number become another process's."""
    fake.build_engine()
    fake.start(SOMEBODY, {"SLOTBELL_DATABASE_URL": engine_url(fake, tls_port)}, answering_child=True)
    assert look(house, fake)["configuration"]["seen"].endswith("files are looked at as the daemon's user nobody")
    assert not fake.reported()


@pytest.mark.parametrize("typed", ["root", "nobody"])
def test_its_words_are_not_used_as_another_user_who_was_typed(house, fake, tls_port, typed):
    fake.build_engine()
    fake.start(SOMEBODY, {"SLOTBELL_DATABASE_URL": engine_url(fake, tls_port)})
    found = look(house, fake, "--user", typed)
    assert not fake.reported() and found["database"]["result"] == "fail"


# ---- what it names ----


def test_files_that_it_names_are_opened_as_its_user_and_hold_nobody_up(house, fake):
    pipe, link, odd = fake.folder / "pipe", fake.folder / "link", fake.folder / "a; touch owned #"
    os.mkfifo(pipe)
    link.symlink_to("/etc/shadow")
    odd.write_bytes(b"x")
    odd.chmod(0o666)
    for name, path, words in (("KEY", "/etc/shadow", "Permission denied"), ("KEY", link, "Permission denied"), ("KEY", pipe, "Invalid argument"),
                              ("KEY", "/dev/zero", "Invalid argument"), ("KEY", "/proc/1/mem", "Permission denied"), ("KEY", "/dev/tty", None),
                              ("CERTIFICATE", pipe, "Invalid argument"), ("CERTIFICATE", "/dev/zero", "Invalid argument"),
                              ("TICKET_KEYS", "/etc/shadow", "Permission denied"), ("TICKET_KEYS", odd, None)):  # fmt: skip
        fake.start(SOMEBODY, {f"SLOTBELL_TLS_{name}": str(path), "CREDENTIALS_DIRECTORY": str(fake.folder), "SLOTBELL_DATABASE_URL": "postgresql:///x"})
        begun = time.monotonic()
        found = look(house, fake)
        assert time.monotonic() - begun < 20
        seen = found[name.lower().replace("_", "-")]
        assert seen["result"] == "fail" and (words is None or words in seen["seen"]), seen
        assert "owned" not in (seen["advice"] or ""), "an advice is a command that somebody copies"
        fake.stop()
        fake.path.unlink()


def test_the_file_of_authorities_gives_away_nothing_but_certificates(house, fake, tls_port):
    """root names it; it may be a link by the daemon to what only root reads."""
    fake.build_engine()
    secret = pathlib.Path("/root") / f".{fake.folder.name}"
    secret.write_text(f"{SECRET}\n" + (fake.folder / "ca.pem").read_text() + f"{SECRET}\n")
    secret.chmod(0o600)
    try:
        fake.start(SOMEBODY, {"SLOTBELL_DATABASE_URL": engine_url(fake, tls_port)})
        found = look(house, fake, "--ca", secret)
        assert found["chain"]["result"] == "ok" and set(fake.reported()["secrets"]) == {"0"}
    finally:
        secret.unlink()


# ---- what it answers ----

HOSTILE = {
    "no object": b"[1]\n",
    "nothing but its end": b"\n",
    "never ends": b"x" * (5 << 20),
    "deep": b"[" * 200000 + b"\n",
    "deep inside": b'{"ok":true,"state":' + b'{"a":' * 1500 + b"1" + b"}" * 1500 + b"}\n",
    "not text": b'{"ok":true,"state":"\xff\xfe","version":"0"}\n',
    "controls": answer(state="\x1b]0;x\x07\x9b31m", version="\u202e\x7f\x85", error="\x1b[2J"),
    "a refusal": b'{"ok":false,"error":"\\u001b[2J\\u009b31m"}\n',
    "numbers": answer(events_sent={"a": 2**63 - 1, "b": 2**63 - 1}, handshakes={"a": -(2**63), "b": -1}, acks_saved=-(2**63), port=2**63 - 1,
                      admin_port=-1, sessions_max=-1, descriptors={"limit": -(2**63)}),
    "other types": answer(state=1, version=[], database="x", states=[], events_sent=3, door=True, problems={}, reloaded=True, changed=[1, {}]),
    "no problems": answer(state="degraded", database={}, reloaded=False, problems=[1, None], changed=[None]),
    "many sessions": answer(sessions=[{}] * 100000),
    "sessions of anything": answer(sessions=[1, [], {"session": 3, "state": {}, "mailbox": "\x1b[2J", "head": 2**63 - 1}]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_answer_of_its_upsets_whoever_asks(house, fake, kind):
    fake.say(HOSTILE[kind])
    fake.start()
    assert is_clean(doctor(house, fake))
    for words in (["status"], ["--json", "status"], ["top", "--count", "1"], ["sessions"], ["reload"], ["kick", "1-1"], ["drain"]):
        done = subprocess.run([program(), "--socket", str(fake.path), *words], capture_output=True, check=False, timeout=60)
        assert done.returncode in (0, 1) and (is_clean(done) or words[0] == "--json"), (words, done)
        assert b"runtime error" not in done.stderr and b"Sanitizer" not in done.stderr, done.stderr
    # doctor asks by the worker; the other commands ask and print as nobody.
    assert fake.askers() <= {0, NOBODY} and NOBODY in fake.askers()


def test_what_asks_and_prints_has_no_right_of_roots(house, fake):
    fake.start()
    for words in (["status"], ["top", "--count", "1"], ["sessions"], ["reload"], ["kick", "1-1"], ["drain"]):
        fake.log.unlink(missing_ok=True)
        subprocess.run([program(), "--socket", str(fake.path), *words], capture_output=True, check=False, timeout=60)
        assert fake.askers() == {NOBODY}, words


def test_pages_without_end_have_one(house, fake):
    fake.start()
    for after in (7, -1, 2**63 - 1):
        fake.say(answer(sessions=[], next=after))
        done = subprocess.run([program(), "--socket", str(fake.path), "sessions"], capture_output=True, check=False, timeout=60)
        assert done.returncode == 1 and b"gave no answer" in done.stderr


def test_an_answer_that_trickles_is_waited_for_as_a_whole(house, fake):
    fake.say(b"trickle")
    fake.start()
    begun = time.monotonic()
    found = look(house, fake)
    assert found["daemon"]["result"] == "fail" and time.monotonic() - begun < 30
