"""docs/attach.md: what it shows is run, and rings as its comments say."""

import re

import pytest
from fixtures_attach import ROLES
from fixtures_sql import ROOT

pytest_plugins = ["fixtures_attach"]

PAGE = (ROOT / "docs/attach.md").read_text()
BLOCKS = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
# The first line of a block says whose session it is.
LOGIN = re.compile(r"-- logged in as (\w+)")
# A statement to its semicolon, and what the comment after it claims.
STATEMENT = re.compile(r"(.+?);[ \t]*(?:--[ \t]*([^\n]*))?\n", re.DOTALL)


def test_the_worked_example_does_what_it_says(db):
    superuser = db.connect()
    # The page's reader has a shop, and perhaps not yet the right that the page grants.
    superuser.execute(ROLES)
    superuser.execute("REVOKE slotbell_publisher FROM shopkeeper")
    mailboxes = ("ada@example.com", "grace@example.com")
    for mailbox in mailboxes:
        db.enrol(mailbox)
    warned = []
    seen, claims = 0, 0
    for block in BLOCKS:
        connection = db.connect(LOGIN.match(block).group(1))
        connection.add_notice_handler(lambda notice: warned.append(notice.message_primary))
        for sql, comment in STATEMENT.findall(block):
            connection.execute(sql)
            changes = db.query("SELECT change FROM slotbell.event ORDER BY id")
            if comment.startswith("rings "):
                claims += 1
                said = [] if comment == "rings nothing" else comment.removeprefix("rings ").split(", ")
                assert changes[seen:] == said, sql
            seen = len(changes)
    assert claims == 8 and warned == []
    assert db.query("SELECT * FROM slotbell.needs_resync") == []
    first = db.query("SELECT uid, starts_at::text, duration_minutes, time_zone, subject, attendees FROM slotbell.event ORDER BY id LIMIT 1")
    assert first == [("appointment-7", "2031-05-06 08:00:00+00", 30, "Europe/Berlin", "Intro call", [{"name": "Alan", "email": "alan@example.net"}])]


def test_the_page_names_every_parameter_and_every_refusal(db):
    (arguments,) = db.query("SELECT proargnames FROM pg_proc WHERE proname = 'attach' AND pronamespace = 'slotbell'::regnamespace")
    for name in arguments[1:]:
        assert re.search(rf"^\|.*`{name}`.*\|.*\|", PAGE, re.MULTILINE), name
    codes = set(re.findall(r"SB02\d", "".join(path.read_text() for path in (ROOT / "config/sql").rglob("*.sql"))))
    assert codes and codes == set(re.findall(r"SB02\d", PAGE))


@pytest.mark.parametrize("reason", ["enrolled", "expired", "epoch", "attached"])
def test_the_page_names_every_reason(db, reason):
    assert f"'{reason}'" in db.one("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'resync_need_reason_check'")
    assert f"`{reason}`" in PAGE
