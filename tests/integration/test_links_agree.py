"""A link that publish() takes is one that a client writes: protocol/link.h refuses nothing of it.

Two rules in two languages, compared over links that are made of the pieces at
which such rules differ. The seed is printed with a failure.
"""

import os
import random
import subprocess

from slotbelld import built

pytest_plugins = ["fixtures_sql"]

COUNT = 200_000 if os.environ.get("SLOTBELL_LONG") else 5_000
PIECES = ["https", "HTTPS", "hTtPs", "http", "javascript", ":", "//", "/", "\\", "@", "?", "#", "[", "]", "%", "%0", "%0D", "%0a", "%7F", "%C2%85", "%c2%9f",
          "%C2%A0", "%E0%80%8D", "%c0%8d", "%F0%80%80%8A", "%e2%80%a8", "%E2%80%AE", "%2F", "%25", "%zz", "::1", "[::1]", "[fe80::1%25eth0]", "a", "example.com", "EXAMPLE.com.", "-", "_", ".", "..",
          "xn--bcher-kva", ":0", ":1", ":443", ":65535", ":65536", ":99999", ":", " ", "\t", "\x7f", "\u00e4", "\u202e", "\u200b", "\x85", "\x1b", "'", '"', "<", "^",
          "{", "|", "~", "user", "user:pw@", ";", "=", "&", "+", "1"]  # fmt: skip


def links(seed):
    chance = random.Random(seed)
    for _ in range(COUNT):
        # Most begin well, or nearly all would fail at their first letters.
        begin = ["https://example.com", "https://", "https://[::1]", ""][min(chance.randrange(6), 3)]
        yield begin + "".join(chance.choices(PIECES, k=chance.randrange(6)))


def test_what_publish_takes_a_client_writes(db):
    seed = random.randrange(2**32)
    made = [link for link in links(seed) if "\n" not in link and "\0" not in link]
    refused = db.query("SELECT slotbell.link_problem(link) IS NOT NULL FROM unnest(%s::text[]) WITH ORDINALITY AS given(link, nth) ORDER BY nth", made)
    judged = subprocess.run([built("tests/link_judge")], input="\n".join(made) + "\n", capture_output=True, check=True, encoding="utf-8").stdout.splitlines()
    assert len(judged) == len(refused) == len(made)
    taken = [(link, word) for link, no, word in zip(made, refused, judged, strict=True) if not no]
    assert len(taken) > COUNT / 20, f"seed {seed}: hardly any link is good, which shows nothing"
    assert [pair for pair in taken if pair[1] != "good"] == [], f"seed {seed}"
