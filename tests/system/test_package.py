"""The Debian packages: what is in them, and install, upgrade, remove and purge in a booted systemd."""

import asyncio
import hashlib
import os
import re
import subprocess

import pytest
from box import ROOT
from package_story import CONFIG, NAMES, NEW, OLD, OWNED, SCRIPT, UNIT, Town, build
from session_client import Closed
from slotbelld import certificate

HOOK = "/usr/share/slotbell/certbot-deploy-hook"


@pytest.fixture(scope="module")
def town(box, tmp_path_factory):
    town = Town(box, tmp_path_factory.mktemp("town"))
    town.set_up()
    return town


# ---- what is in them ----


def test_lintian_finds_no_fault():
    """Warnings count as errors; what is overridden has its reason in config/deb/*.lintian-overrides."""
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", *map(str, build().values())],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr
    for path in (ROOT / "config/deb").glob("*.lintian-overrides"):
        for block in re.split(r"(?<=[a-z])\n(?=#)", path.read_text().strip()):
            assert block.startswith("# "), f"{path.name}: no reason for {block}"


def contents(name):
    done = subprocess.run(["dpkg-deb", "--contents", build()[name]], check=True, capture_output=True, text=True)
    return {line.split()[5].removeprefix("."): line.split()[:2] for line in done.stdout.splitlines()}


def test_each_package_has_program_page_and_completion():
    pages = {"slotbelld": ["man8/slotbelld.8", "man5/slotbelld.conf.5"], "slotbellctl": ["man1/slotbellctl.1"],
             "slotbell-plugin": ["man1/slotbell-plugin.1"]}  # fmt: skip
    for name in NAMES:
        files = contents(name)
        assert f"/usr/{'sbin' if name == 'slotbelld' else 'bin'}/{name}" in files
        assert f"/usr/share/bash-completion/completions/{name}" in files
        assert [page for page in files if "/man/man" in page and page.endswith(".gz")] and all(
            f"/usr/share/man/{page}.gz" in files for page in pages[name])
        assert all(owner == "root/root" for _, owner in files.values())
        assert not [path for path in files if path.startswith("/usr/local")]


def test_the_daemon_depends_on_what_it_loads_at_run_time():
    depends = subprocess.run(["dpkg-deb", "--field", build()["slotbelld"], "Depends"], check=True, capture_output=True, text=True)
    assert "libwebsockets-evlib-uv" in depends.stdout and "libpq5 (" in depends.stdout


def test_debug_symbols_are_those_of_the_program(tmp_path):
    for name in NAMES:
        subprocess.run(["dpkg-deb", "-x", build()[name], tmp_path / name], check=True)
        (program,) = tmp_path.glob(f"{name}/usr/*bin/{name}")
        notes = subprocess.run(["readelf", "-n", program], check=True, capture_output=True, text=True).stdout
        build_id = re.search(r"Build ID: ([0-9a-f]+)", notes).group(1)
        assert f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug" in contents(f"{name}-dbgsym")


def digests(folder):
    return {path.name: hashlib.sha256((folder / path.name).read_bytes()).hexdigest() for path in build().values()}


def pack(tree):
    """With another umask than ours."""
    moment = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["sh", "-c", "umask 077; config/deb/build"], cwd=tree, check=True, capture_output=True, text=True,
                   env={**os.environ, "SOURCE_DATE_EPOCH": moment})  # fmt: skip
    return digests(tree / "build/deb")


def test_packed_again_they_are_the_same_and_name_no_folder_of_the_builder(tmp_path):
    before = digests(ROOT / "build/deb")
    assert pack(ROOT) == before
    for path in build().values():
        subprocess.run(["dpkg-deb", "-x", path, tmp_path], check=True)
    found = subprocess.run(["grep", "-rlaF", str(ROOT), tmp_path], capture_output=True, text=True, check=False)
    assert found.returncode == 1 and found.stdout == ""


@pytest.mark.skipif("SLOTBELL_LONG" not in os.environ, reason="compiles all of it anew: make test-long")
def test_the_same_bytes_are_built_elsewhere(tmp_path):
    """At another path, by somebody with another umask, of files with other times and modes."""
    copy = tmp_path / "else/where"
    copy.mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(f"tar -c --null -T - | tar -x --mode=ug=rwX,o= -C '{copy}'", cwd=ROOT, shell=True, input=files, check=True)
    assert pack(copy) == digests(ROOT / "build/deb")


def test_make_install_leaves_a_configuration_that_is_there(tmp_path):
    build()  # and with it the programs
    for _ in range(2):
        subprocess.run(["cmake", "--install", ROOT / "build", "--prefix", "/usr/local"], check=True, capture_output=True,
                       env={**os.environ, "DESTDIR": str(tmp_path)})
        file = tmp_path / CONFIG.lstrip("/")
        assert file.read_text().endswith((ROOT / "config/slotbelld.conf").read_text()[-40:])
        file.write_text("# mine\n" + file.read_text())
    assert file.read_text().startswith("# mine\n# mine\n")
    assert (tmp_path / "usr/local/sbin/slotbelld").exists()


# ---- install ----


def test_a_fresh_install_is_enabled_and_not_started_and_says_what_to_do(town):
    words = town.said[0]
    assert town.seen["state"] == ["inactive", "enabled"]
    assert "slotbelld is installed and enabled, but not started: its configuration is not complete." in words
    assert f"{CONFIG}:" in words and "[tls] certificate = /etc/slotbell/tls/server.pem: cannot be read" in words
    assert "systemctl start slotbelld" in words
    assert town.seen["check"].returncode == 3


def test_what_a_fresh_install_makes(town):
    assert town.mode(CONFIG, "/etc/slotbell/tls", "/etc/slotbell") == ["root:slotbell 640", "root:slotbell 750", "root:root 755"]
    assert town.box.run("getent passwd slotbell").split(":")[6].strip() == "/usr/sbin/nologin"
    assert town.box.run("dpkg-query -W -f '${Conffiles}' slotbelld").split()[0] == CONFIG


def test_the_manual_gets_a_booking_to_ring(town):
    assert "The configuration is good." in town.said[3] and f"version {OLD}" in town.said[3]
    (appointment,) = town.box.path("/root/ada").glob("*.ics")
    assert "SUMMARY:Intro call" in appointment.read_text()
    assert town.box.path("/usr/share/man/man8/slotbelld.8.gz").exists()


# ---- upgrade ----


def test_an_upgrade_drains_and_sessions_go_on_where_they_were(town):
    town.begin(OLD)
    mailbox, token = town.enrol()

    async def story():
        async with town.client(token) as client:
            await client.welcome()
            await client.receive("live")
            upgrade = asyncio.ensure_future(town.off_the_loop(town.have))
            goodbye = await client.receive("goodbye")
            assert goodbye["reason"] == "draining" and goodbye["reconnect_after_ms"] > 0
            with pytest.raises(Closed):
                await client.receive("booking")
            await town.off_the_loop(town.publish, mailbox)
            await upgrade
        async with town.client(token) as client:
            await client.welcome()
            booking = await client.receive("booking")
            await client.ack(booking["cursor"])
            await client.acked(booking["cursor"])

    town.play(story())
    assert town.status()["version"] == NEW
    assert town.text(CONFIG) == town.config and town.mode(CONFIG) == ["root:slotbell 640"]


def test_what_was_stopped_stays_stopped(town):
    town.begin(OLD)
    town.box.run(f"systemctl stop {UNIT}")
    town.have()
    assert town.box.show(UNIT, "ActiveState") == "inactive"


def test_one_whose_configuration_the_new_version_refuses_goes_on_as_it_is(town):
    town.begin(OLD)
    pid = town.pid()
    town.box.write(CONFIG, town.config + "[sessions]\nmaxx = 3\n", 0o640, "root:slotbell")
    words = town.have()
    assert f"{UNIT} still runs the old version, for the new one refuses its configuration:" in words
    assert "[sessions] maxx: no such key" in words and f"Mend it, then: systemctl restart {UNIT}" in words
    assert town.pid() == pid and town.status()["version"] == OLD


def test_what_a_drop_in_says_counts_for_an_upgrade_too(town):
    """The file alone is not what runs: here it lacks what a drop-in's environment and options have."""
    town.begin(OLD)
    lacking = re.sub(r"^url = .*", "url =", town.config, flags=re.MULTILINE)
    url = re.search(r"^url = (.*)", town.config, re.MULTILINE).group(1).replace("%", "%%")
    town.box.write(CONFIG, lacking, 0o640, "root:slotbell")
    town.drop_in(UNIT, f"[Service]\nEnvironment=SLOTBELL_DATABASE_URL={url}\nExecStart=\n"
                       "ExecStart=/usr/sbin/slotbelld --set log.level=debug\n")
    town.box.run(f"systemctl restart {UNIT}")
    assert "still runs" not in town.have()
    town.wait_database()
    assert town.status()["version"] == NEW


def test_what_a_process_says_of_itself_gives_it_no_power(town):
    """A daemon that somebody has taken over can write into its own command line and environment: here both are evil."""
    town.begin(OLD)
    evil = "/run/slotbell-evil"
    town.box.write(evil, "#!/bin/sh\nid -un >/tmp/owned\n", 0o755)
    town.drop_in(UNIT, f"[Service]\nEnvironment=LD_PRELOAD={evil}.so SLOTBELL_X=1\nExecStart=\n"
                       f"ExecStart=@/usr/sbin/slotbelld {evil} --set log.level=debug\n")  # argv[0] is another one
    town.box.run(f"systemctl restart {UNIT}")
    assert evil in town.box.run(f"tr '\\0' ' ' </proc/{town.pid()}/cmdline")
    words = town.have()
    assert not town.box.path("/tmp/owned").exists() and "LD_PRELOAD" not in words and "still runs" not in words
    town.wait_database()
    assert town.status()["version"] == NEW
    town.box.run(f"rm {evil}")


@pytest.mark.parametrize("words", [
    [SCRIPT] * 20000,  # xargs would begin a second command in the middle, with one of these for its name
    ["x" * 100000, SCRIPT],
], ids=["many", "long"])
def test_a_command_line_that_is_too_long_is_not_taken(town, words):
    pid = town.take_over(words)
    said = town.have()
    assert not town.box.path(OWNED).exists()
    assert "cmdline of its process is longer than 65536 bytes: this is not what systemd started it with" in said
    assert f"{UNIT} still runs the old version" in said and town.pid() == pid


def test_an_environment_that_is_too_long_is_not_taken(town):
    pid = town.take_over([], f"Environment=SLOTBELL_X={'x' * 70000}")
    said = town.have()
    assert "environ of its process is longer than 65536 bytes" in said and town.pid() == pid


@pytest.mark.parametrize("words", [
    ["--", SCRIPT], [SCRIPT], ["-S", SCRIPT], [f"; {SCRIPT}", f"$({SCRIPT})", f"`{SCRIPT}`"], ["--set", f"x$({SCRIPT}).y=1"],
    ["--set", "\x1b[2Jlog.level=\x1b]0;x\x07"], ["a\nMend it, then: b"],
], ids=repr)
def test_what_a_process_says_is_data_to_an_upgrade(town, words):
    pid = town.take_over(words, f"Environment=LD_PRELOAD={SCRIPT}.so PATH=/run BASH_ENV={SCRIPT} ENV={SCRIPT} "
                                 f"SHELLOPTS=xtrace 'SLOTBELL_LOG_LEVEL=$({SCRIPT})' 'SLOTBELL_X[$({SCRIPT})]=1'")
    said = town.have()
    assert not town.box.path(OWNED).exists() and "LD_PRELOAD" not in said
    assert f"{UNIT} still runs the old version" in said and town.pid() == pid
    told = said.partition("refuses its configuration:\n")[2].partition("\nMend it, then:")[0]
    assert re.sub(r"[ -~]|\n", "", told) == "" and all(line.startswith("  | ") for line in told.splitlines())


def test_a_process_that_stops_its_judge_does_not_stop_the_upgrade(town):
    town.box.run("mkfifo -m 666 /run/slotbell-fifo")  # which keeps the judge waiting until it is found
    try:
        pid = town.take_over(["--config", "/run/slotbell-fifo"], "Environment=EVIL=stop")
        assert f"{UNIT} still runs the old version" in town.have() and town.pid() == pid
    finally:
        town.box.run("rm /run/slotbell-fifo")


def test_a_process_that_says_it_reloads_is_restarted_too(town):
    pid = town.take_over([], "Environment=EVIL=reload")
    town.box.wait_state(UNIT, "reloading")
    town.have()
    assert town.pid() not in (0, pid)


def test_members_of_the_old_group_are_named_and_not_moved(town):
    town.begin(OLD)
    town.box.run("adduser --quiet --system ada && adduser --quiet ada slotbell")
    try:
        said = town.have()
        assert "Members of the group slotbell can read the TLS key" in said and "\n  | ada\n" in said
        assert "gpasswd --add NAME slotbell-admin" in said and "gpasswd --delete NAME slotbell" in said
        assert [town.box.run(f"getent group {group}").strip().split(":")[3] for group in ("slotbell", "slotbell-admin")] == [
            "slotbell,ada", ""]
    finally:
        town.box.run("deluser --quiet ada")
    assert "Members of the group" not in town.have()


def test_instances_are_restarted_one_after_the_other(town):
    town.begin(OLD)
    town.box.run(f"systemctl stop {UNIT}; systemctl start slotbelld@1 slotbelld@2")
    before = {unit: town.pid(unit) for unit in ("slotbelld@1.service", "slotbelld@2.service")}
    after = town.box.cursor()
    town.have()
    for unit, pid in before.items():
        assert town.wait_restarted(pid, unit) != pid
    order = [entry["MESSAGE"].split()[0] for entry in town.box.journal(after=after)
             if entry.get("UNIT") in before and re.match(r"Stopping|Started", entry["MESSAGE"])]
    assert order == ["Stopping", "Started", "Stopping", "Started"]
    assert {town.status("--socket", f"/run/slotbell/{n}/control.sock")["version"] for n in (1, 2)} == {NEW}
    town.box.run("systemctl stop 'slotbelld@*'")


def other_config(tmp_path, comment):
    """The old package as it would be had it brought another configuration."""
    subprocess.run(["dpkg-deb", "-R", build(OLD)["slotbelld"], tmp_path / "tree"], check=True)
    file = tmp_path / f"tree{CONFIG}"
    file.write_text(file.read_text() + comment)
    deb = tmp_path / "other.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tmp_path / "tree", deb], check=True, capture_output=True)
    return deb


def test_a_configuration_that_nobody_changed_is_upgraded_and_keeps_its_mode(town, tmp_path):
    town.begin(OLD)
    town.box.install_packages(other_config(tmp_path, "# of an older version\n"))
    assert "# of an older version" in town.text(CONFIG)
    town.have()
    assert town.text(CONFIG) == town.config and town.mode(CONFIG) == ["root:slotbell 640"]
    town.wait_database()


def test_a_configuration_that_was_changed_is_kept_and_the_new_one_put_beside_it(town, tmp_path):
    town.begin(OLD)
    town.box.install_packages(other_config(tmp_path, "# of an older version\n"))
    changed = town.text(CONFIG) + "[sessions]\nmax = 77\n"
    town.box.write(CONFIG, changed, 0o640, "root:slotbell")
    done = town.box.result(f"dpkg --install /tmp/{build()['slotbelld'].name} </dev/null")
    assert done.returncode != 0 and "What would you like to do about it ?" in done.stdout  # it asks; nobody is there
    town.have(NEW, "--force-confold")
    assert town.text(CONFIG) == changed and town.text(f"{CONFIG}.dpkg-dist") == town.config
    assert "max = 77" in town.box.run("slotbelld --print-config")
    town.wait_database()


# ---- certbot ----


def renewal(town, folder):
    """As certbot lays a renewed certificate down: live/NAME with the chain and the key, for root alone."""
    made = certificate(folder / "made")
    live = "/etc/letsencrypt/live/bell.example.com"
    for name, of in (("fullchain.pem", "server.pem"), ("privkey.pem", "server.key")):
        town.box.write(f"{live}/{name}", (made / of).read_text(), 0o600)
    town.box.run("chmod 700 /etc/letsencrypt/live")
    return made, f"RENEWED_LINEAGE={live} RENEWED_DOMAINS=bell.example.com env PATH=/usr/bin:/bin {HOOK}"


def test_certbots_hook_brings_a_renewed_certificate_and_drops_no_session(town, tmp_path):
    town.begin(NEW)
    before = town.serial()
    made, hook = renewal(town, tmp_path)
    _, token = town.enrol()

    async def story():
        async with town.client(token) as client:
            await client.welcome()
            await client.receive("live")
            words = await town.off_the_loop(town.box.run, hook)
            assert "reloaded slotbelld.service" in words
            await client.send({"type": "ping"})
            await client.receive("pong")

    town.play(story())
    assert town.serial() != before
    assert town.text("/etc/slotbell/tls/server.pem") == (made / "server.pem").read_text()
    assert town.mode("/etc/slotbell/tls/server.pem", "/etc/slotbell/tls/server.key") == ["root:slotbell 640"] * 2
    assert [path.name for path in town.box.path("/etc/slotbell/tls").iterdir() if path.name.startswith(".")] == []
    town.ca.write_bytes((made / "ca.pem").read_bytes())


def test_certbots_hook_leaves_all_as_it_is_when_the_pair_is_not_good(town, tmp_path):
    town.begin(NEW)
    before = town.serial()
    _, hook = renewal(town, tmp_path)
    other = certificate(tmp_path / "other")
    town.box.write("/etc/letsencrypt/live/bell.example.com/privkey.pem", (other / "server.key").read_text(), 0o600)
    kept = town.text("/etc/slotbell/tls/server.key")
    done = town.box.result(hook)
    assert done.returncode == 1 and "does not belong to the certificate" in done.stdout
    assert town.serial() == before and town.text("/etc/slotbell/tls/server.key") == kept
    assert town.box.result(HOOK).returncode == 2  # by hand, without saying what


def test_certbots_hook_before_the_first_start(town, tmp_path):
    town.begin(NEW)
    town.box.run(f"systemctl stop {UNIT}")
    made, hook = renewal(town, tmp_path)
    assert "its next start takes the new certificate" in town.box.run(hook)
    town.ca.write_bytes((made / "ca.pem").read_bytes())
    town.start()


# ---- remove and purge: last, for little is left after them ----


def test_removed_and_installed_again_it_is_as_it_was(town):
    town.begin(NEW)
    town.box.run("systemctl enable slotbelld@1")
    after = town.box.cursor()
    town.box.run("dpkg --remove slotbelld")
    assert town.box.run("systemctl list-units --plain --no-legend 'slotbelld*'") == ""
    assert town.box.wait_journal("ended: ", UNIT, after)
    assert town.text(CONFIG) == town.config and not town.box.path("/usr/sbin/slotbelld").exists()
    town.have()
    town.start()
    assert town.box.run(f"systemctl is-enabled {UNIT}") == "enabled\n"


def test_purged_it_leaves_what_is_the_operators_and_names_it(town):
    town.begin(NEW)
    town.box.run("dpkg --purge slotbell-plugin slotbellctl")
    words = town.box.run("dpkg --purge slotbelld")
    named = words.partition("Left for you to remove, since slotbelld did not bring it:\n")[2].split()
    assert {"/etc/slotbell/tls/server.key", "/etc/slotbell/tls/server.pem"} <= set(named)
    assert town.mode("/etc/slotbell/tls/server.key") == ["root:slotbell 640"]
    left = town.box.run("find /etc /usr /var/lib /run -xdev -name '*slotbell*'").split()
    assert left == ["/etc/slotbell"]
    assert town.box.result("getent passwd slotbell").returncode == 0
    # Without anything of the operator's there is nothing left.
    town.have()
    town.box.run("rm -r /etc/slotbell/tls/* /etc/slotbell/*.dpkg-*; dpkg --purge slotbelld", check=False)
    assert not town.box.path("/etc/slotbell").exists()
