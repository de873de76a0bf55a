"""Slotbell's packages in a box, installed as docs/operating.md says: for test_package.py."""

import functools
import itertools
import re
import subprocess

from box import ROOT
from host import MAKE_DEB, VERSION, Host

OLD = "0.0.9"
NEW = VERSION
NAMES = ("slotbelld", "slotbellctl", "slotbell-plugin")
CONFIG = "/etc/slotbell/slotbelld.conf"
UNIT = "slotbelld.service"

# A daemon that somebody has taken over, in the place of the real one. It is what its words and variables say. With
# EVIL=reload it says that it reloads, with EVIL=stop it stops whatever of its own user checks a configuration.
TAKEN_OVER = r"""
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void say(const char *words)
{
	struct sockaddr_un manager = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	snprintf(manager.sun_path, sizeof(manager.sun_path), "%s", getenv("NOTIFY_SOCKET"));
	sendto(fd, words, strlen(words), 0, (struct sockaddr *)&manager, sizeof(manager));
	close(fd);
}

static void stop_judges(void)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	while ((entry = readdir(processes))) {
		char path[300], words[4096];
		snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		int fd = open(path, O_RDONLY);
		ssize_t len = fd < 0 ? 0 : read(fd, words, sizeof(words));
		close(fd);
		if (len > 0 && memmem(words, len, "--check-config", 14) && atoi(entry->d_name) != getpid())
			kill(atoi(entry->d_name), SIGSTOP);
	}
	closedir(processes);
}

int main(void)
{
	const char *evil = getenv("EVIL") ? getenv("EVIL") : "";
	say("READY=1");
	if (!strcmp(evil, "reload"))
		say("RELOADING=1");
	for (;; usleep(10000))
		if (!strcmp(evil, "stop"))
			stop_judges();
}
"""
IN_ITS_PLACE = """[Service]
{environment}
ExecStart=
ExecStart=@/usr/share/taken-over slotbelld {words}
RootDirectory=
NoExecPaths=
ExecPaths=
ReadOnlyPaths=
ProtectProc=default
WatchdogSec=0
"""
SCRIPT = "/tmp/evil-script"  # what nobody must run, and where it says that somebody did
OWNED = "/tmp/owned"


def build(version=NEW):
    """Where `make deb` puts the packages of this version, by name."""
    return _built(version)


@functools.cache
def _built(version):
    subprocess.run([MAKE_DEB, *([version] if version != NEW else [])], check=True, capture_output=True, text=True)
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
    return {name: ROOT / f"build/deb/{name}_{version}-1_{architecture}.deb"
            for base in NAMES for name in (base, f"{base}-dbgsym")}  # fmt: skip


def manual(heading):
    """The commands that a section of docs/operating.md has, a block each."""
    text = (ROOT / "docs/operating.md").read_text().partition(f"\n{heading}\n")[2]
    level = heading.partition(" ")[0]
    text = re.split(rf"\n#{{1,{len(level)}}} ", text)[0]
    text = text.partition("\n### ")[0] if level == "##" else text
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


class Town(Host):
    """A host on which everything comes from packages. What the manual's blocks printed is in `said`."""

    def set_up(self):
        self.cluster = sorted(path.name for path in self.box.path("/usr/lib/postgresql").iterdir())[-1]
        self.box.run(f"pg_createcluster {self.cluster} main -- --auth-local=peer --auth-host=scram-sha-256 --no-sync")
        self.box.run(f"echo 'fsync = off' >>/etc/postgresql/{self.cluster}/main/postgresql.conf")
        self.box.run(f"systemctl start postgresql@{self.cluster}-main")
        self.box.run("echo 127.0.0.1 bell.example.com >>/etc/hosts; mkdir /root/debs")
        # Not each time an index of all manual pages, and a disk that is none.
        self.box.run("rm -f /var/lib/man-db/auto-update; echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/box")
        for name in NAMES:
            (self.box.path("/root/debs") / build(OLD)[name].name).write_bytes(build(OLD)[name].read_bytes())
        install, *self.blocks = manual("## Install in five minutes, on one host")
        # PostgreSQL is there; and there is nobody to say yes.
        self.said = [self.type(install.replace("apt install postgresql", "apt-get -y install").replace("./", "/root/debs/"))]
        self.seen = {
            "state": self.box.run(f"systemctl is-active {UNIT}; systemctl is-enabled {UNIT}", check=False).split(),
            "check": self.box.result(["slotbelld", "--check-config"]),
        }
        self.said += [self.type(block) for block in self.blocks]
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(self.box.path("/root/slotbell-ca/ca.pem").read_bytes())
        self.config = self.text(CONFIG)
        self._numbers = itertools.count(100)

    def type(self, commands):
        """As a person would, one after the other, until one fails."""
        return self.box.run(f"set -e; cd /root; export DEBIAN_FRONTEND=noninteractive\n{commands}", seconds=120)

    def text(self, path):
        return self.box.path(path).read_text()

    def mode(self, *paths):
        return self.box.run(["stat", "-c", "%U:%G %a", *paths]).splitlines()

    def have(self, version=NEW, *options, name="slotbelld"):
        """Installs this version of the daemon over whatever is there; what dpkg says."""
        return self.box.install_packages(build(version)[name], options=["--force-downgrade", *options])

    def begin(self, version=OLD):
        """This version runs, with the configuration that the manual left."""
        self.box.run("systemctl stop 'slotbelld@*' slotbelld.service", check=False)
        self.box.write(CONFIG, self.config, 0o640, "root:slotbell")
        self.box.run("rm -rf /etc/systemd/system/slotbelld*.d; systemctl daemon-reload")
        self.have(version)
        self.start()
        assert self.status()["version"] == version

    def take_over(self, words, environment=""):
        """What runs as the service from now on is TAKEN_OVER, with these words; its process."""
        self.begin(OLD)
        self.box.run(f"rm -f {OWNED}")
        subprocess.run(["cc", "-D_GNU_SOURCE", "-x", "c", "-", "-o", self.box.path("/usr/share/taken-over")], input=TAKEN_OVER, text=True,
                       check=True)  # fmt: skip
        self.box.write(SCRIPT, f"#!/bin/sh\nid -un >{OWNED}\n", 0o755)
        quoted = " ".join('"%s"' % re.sub(r'(["\\])', r"\\\1", word).replace("$", "$$").replace("%", "%%").replace("\n", r"\n")
                          for word in words)  # fmt: skip
        self.drop_in(UNIT, IN_ITS_PLACE.format(words=quoted, environment=environment))
        self.box.run(f"systemctl restart {UNIT}")
        return self.pid()
