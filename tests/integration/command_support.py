"""slotbelld as a program that is run once and ends."""

import subprocess

from slotbelld import ENVIRONMENT, built

URL = "postgresql://slotbelld:hidden-word@db.example.com/slotbell"


def slotbelld(*arguments, **environment):
    return subprocess.run([built("slotbelld"), *map(str, arguments)], env=ENVIRONMENT | environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
