"""slotbellctl db: the schema is made once, completed when it must be, and never taken for another's."""

import re
import subprocess

import psycopg
import pytest
from ctl_support import ADA, ROOT, SECONDS, program

pytest_plugins = ["fixtures_ctl"]

FILES = sorted((ROOT / "config/sql").glob("[0-9]*"))
NAMES = [file.stem for file in FILES]
VERSIONS = [int(name.split("_")[0]) for name in NAMES]


def versions(ctl):
    return ctl.query("SELECT version FROM slotbell.migration ORDER BY version")


def has_schema(ctl):
    return ctl.query("SELECT to_regnamespace('slotbell') IS NOT NULL") == [True]


def apply_first(ctl):
    """The database as a release with the first file alone would have left it."""
    with ctl.connect(autocommit=False) as connection:
        connection.execute("CREATE SCHEMA slotbell")
        connection.execute(
            "CREATE TABLE slotbell.migration"
            " (version int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        connection.execute(FILES[0].read_text())
        connection.execute("INSERT INTO slotbell.migration VALUES (%s, %s)", (VERSIONS[0], NAMES[0]))


def test_init_applies_every_step_in_order_and_says_so(bare):
    done = bare.run("db", "init")
    assert done.stdout == ""
    assert re.findall(r"^applying (\S+)$", done.stderr, re.M) == NAMES
    assert bare.query("SELECT name FROM slotbell.migration ORDER BY version") == NAMES
    assert versions(bare) == VERSIONS


def test_init_again_changes_nothing(ctl):
    before = ctl.query("SELECT version, applied_at FROM slotbell.migration ORDER BY version")
    done = ctl.run("db", "init")
    assert "up to date" in done.stderr and "applying" not in done.stderr
    assert ctl.query("SELECT version, applied_at FROM slotbell.migration ORDER BY version") == before


def test_json_tells_the_version_and_what_was_applied(bare):
    assert bare.json("db", "init") == [{"version": VERSIONS[-1], "applied": NAMES}]
    assert bare.json("db", "upgrade") == [{"version": VERSIONS[-1], "applied": []}]


def finish(*running):
    """The steps that these applied between them."""
    words = [process.communicate(timeout=SECONDS)[1] for process in running]
    assert {process.returncode for process in running} == {0}, words
    return re.findall(r"^applying (\S+)$", "\n".join(words), re.M)


def wait_for_words(*running):
    for process in running:
        assert "waiting for another slotbellctl" in process.stderr.readline()


def test_two_inits_at_once_take_turns(bare):
    with bare.connect(autocommit=False) as other:
        other.execute("CREATE SCHEMA slotbell")
        both = [bare.start("db", "init"), bare.start("db", "init")]
        wait_for_words(*both)
        other.rollback()
    assert sorted(finish(*both)) == NAMES
    assert versions(bare) == VERSIONS


def test_two_upgrades_at_once_take_turns(bare):
    apply_first(bare)
    with bare.connect(autocommit=False) as other:
        other.execute("LOCK TABLE slotbell.migration IN SHARE ROW EXCLUSIVE MODE")
        both = [bare.start("db", "upgrade"), bare.start("db", "init")]
        wait_for_words(*both)
        other.rollback()
    assert sorted(finish(*both)) == NAMES[1:]
    assert versions(bare) == VERSIONS


def test_a_step_that_an_older_slotbellctl_applies_meanwhile_is_not_applied_again(bare):
    """It takes no lock but that of the row which it records."""
    apply_first(bare)
    with bare.connect(autocommit=False) as older:
        older.execute(FILES[1].read_text())
        older.execute("INSERT INTO slotbell.migration VALUES (%s, %s)", (VERSIONS[1], NAMES[1]))
        process = bare.start("db", "upgrade")
        wait_for_words(process)
        older.commit()
    assert finish(process) == NAMES[2:]
    assert versions(bare) == VERSIONS


def test_upgrade_applies_what_is_missing(bare):
    apply_first(bare)
    assert bare.json("db", "upgrade") == [{"version": VERSIONS[-1], "applied": NAMES[1:]}]
    assert versions(bare) == VERSIONS
    bare.enrol()
    assert bare.publish()["event"]


def test_init_completes_what_was_begun(bare):
    apply_first(bare)
    assert bare.json("db", "init")[0]["applied"] == NAMES[1:]


def test_an_open_transaction_of_another_session_ends_the_upgrade_and_it_says_which(bare):
    apply_first(bare)
    with bare.connect(autocommit=False) as reader:
        reader.execute("LOCK TABLE slotbell.mailbox")
        words = bare.run("db", "upgrade", expect=1).stderr
        assert "pg_stat_activity" in words and "nothing was changed" in words
    assert bare.json("db", "upgrade")[0]["version"] == VERSIONS[-1]


def test_upgrade_refuses_a_database_without_the_schema(bare):
    assert "slotbellctl db init" in bare.run("db", "upgrade", expect=1).stderr
    assert not has_schema(bare)


@pytest.mark.parametrize("verb", ["init", "upgrade"])
def test_a_newer_schema_is_refused(ctl, verb):
    ctl.query("INSERT INTO slotbell.migration VALUES (9999, '9999_from_the_future')")
    words = ctl.run("db", verb, expect=1).stderr
    assert "9999_from_the_future" in words and "newer" in words
    assert versions(ctl) == [*VERSIONS, 9999]


def test_a_hole_in_the_versions_is_refused(ctl):
    ctl.query("DELETE FROM slotbell.migration WHERE version = %s", VERSIONS[0])
    assert "slotbell.migration" in ctl.run("db", "init", expect=1).stderr
    assert versions(ctl) == VERSIONS[1:]


def test_a_file_that_fails_is_undone_and_the_ones_before_it_stay(bare):
    # From the second file on, whatever creates something is refused.
    bare.query(
        "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF to_regclass('slotbell.migration') IS NOT NULL THEN"
        "   IF EXISTS (SELECT FROM slotbell.migration) THEN"
        "     RAISE 'no more' USING DETAIL = 'It was tried.', HINT = 'Rest a while.';"
        "   END IF; END IF; END $$;"
        "CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION public.refuse()"
    )
    words = bare.run("db", "init", expect=1).stderr
    assert f"{NAMES[1]}: no more" in words
    assert "detail: It was tried." in words and "hint: Rest a while." in words
    assert versions(bare) == VERSIONS[:1]
    bare.query("DROP EVENT TRIGGER refuse")
    assert bare.json("db", "init")[0]["applied"] == NAMES[1:]


def test_a_first_file_that_fails_leaves_nothing(bare):
    bare.query(
        "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF to_regclass('slotbell.migration') IS NOT NULL THEN RAISE 'no'; END IF; END $$;"
        "CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION public.refuse()"
    )
    bare.run("db", "init", expect=1)
    assert not has_schema(bare)


def test_an_encoding_that_cannot_hold_every_name_is_refused(bare):
    name = f"{bare.name}_latin"
    bare.query(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        words = bare.run("db", "init", "--database", bare.cluster.url(name), expect=1).stderr
        assert "LATIN1" in words and "UTF8" in words
    finally:
        bare.cluster.drop_database(name)


def test_login_roles_become_members(bare):
    roles = {"daemon": f"{bare.name}_d", "publisher": f'{bare.name} "p"', "admin": f"{bare.name}_a"}
    for role in roles.values():
        bare.query(psycopg.sql.SQL("CREATE ROLE {} LOGIN").format(psycopg.sql.Identifier(role)))
    options = [word for kind, role in roles.items() for word in (f"--{kind}-role", role)]
    for _ in range(2):
        bare.run("db", "init", *options)
    for kind, role in roles.items():
        assert bare.query("SELECT pg_has_role(%s, %s, 'member')", role, f"slotbell_{kind}") == [True]
        bare.query(psycopg.sql.SQL("DROP ROLE {}").format(psycopg.sql.Identifier(role)))


def test_a_login_role_that_is_not_there_is_said(bare):
    words = bare.run("db", "init", "--daemon-role", "nobody_of_that_name", expect=1).stderr
    assert "nobody_of_that_name" in words
    assert versions(bare) == VERSIONS


def test_new_epoch_starts_new_numbers_for_every_mailbox(ctl):
    for mailbox in (ADA, "grace@example.com"):
        ctl.enrol(mailbox)
    ctl.publish()
    before = dict(ctl.query("SELECT address, epoch FROM slotbell.mailbox"))
    assert ctl.json("db", "new-epoch") == [{"mailboxes": 2}]
    after = dict(ctl.query("SELECT address, epoch FROM slotbell.mailbox"))
    assert all(after[mailbox] != before[mailbox] for mailbox in before)
    assert ctl.query("SELECT head FROM slotbell.mailbox WHERE address = %s", ADA) == [1_000_001]
    assert "slotbellctl db init" not in ctl.run("db", "new-epoch").stderr


def test_a_database_without_the_schema_is_named_as_such(bare):
    for command in (["db", "new-epoch"], ["device", "list"], ["device", "revoke", 1], ["tail", ADA, "--no-follow"], ["trace", "x"]):
        assert "slotbellctl db init" in bare.run(*command, expect=1).stderr


@pytest.mark.parametrize(
    "arguments",
    [[], ["db"], ["dbx"], ["db", "drop"], ["db", "init", "now"], ["db", "init", "--force"], ["db", "init", "-f"],
     ["--force", "db", "init"], ["db", "init", "--daemon-role"], ["db", "init", "--json=yes"]],
)  # fmt: skip
def test_what_cannot_be_meant_is_a_usage_error(bare, arguments):
    done = bare.run(*arguments, expect=2)
    assert done.stdout == ""
    assert re.search(r"^Try: slotbellctl( db)?( init)? --help$", done.stderr, re.M)
    assert not has_schema(bare)


def test_options_for_every_command_may_stand_anywhere(ctl):
    other = ["--database", ctl.url, "--socket", "/nowhere", "--json"]
    for arguments in ([*other, "db", "init"], ["db", *other, "init"], ["db", "init", *other]):
        done = ctl.run(*arguments, env={"SLOTBELLCTL_DATABASE_URL": "postgresql:///elsewhere?host=/nowhere"})
        assert done.stdout == f'{{"version":{VERSIONS[-1]},"applied":[]}}\n'


def test_without_a_database_both_ways_to_name_one_are_told(bare):
    words = bare.run("db", "init", env={"SLOTBELLCTL_DATABASE_URL": ""}, expect=2).stderr
    assert "--database" in words and "SLOTBELLCTL_DATABASE_URL" in words


def test_the_daemons_variable_is_taken_for_one_more_version_with_a_warning(ctl):
    """It was slotbellctl's too, and put the daemon into an administrator's role."""
    nowhere = "postgresql:///elsewhere?host=/nowhere"
    warning = ("slotbellctl: warning: SLOTBELL_DATABASE_URL names slotbelld's database; the next version ignores it here. "
               "Set SLOTBELLCTL_DATABASE_URL\n")
    environment = {key: value for key, value in ctl.environment().items() if key != "SLOTBELLCTL_DATABASE_URL"}

    def run(*options, **more):
        done = subprocess.run([program(), *options, "--json", "device", "list"], env=environment | more, capture_output=True, text=True,
                              timeout=30, check=False)  # fmt: skip
        return done.returncode, done.stderr

    assert run(SLOTBELL_DATABASE_URL=ctl.url) == (0, warning)
    assert run("--database", ctl.url, SLOTBELL_DATABASE_URL=nowhere) == (0, "")
    assert run(SLOTBELLCTL_DATABASE_URL=ctl.url, SLOTBELL_DATABASE_URL=nowhere) == (0, "")
    assert run(SLOTBELL_DATABASE_URL="")[0] == run(SLOTBELLCTL_DATABASE_URL="", SLOTBELL_DATABASE_URL=ctl.url)[0] == 2


@pytest.mark.parametrize(
    "url, code",
    [("postgresql://ada:se@kret@localhost/x", 2), ("postgresql://ada:se/kret@localhost/x", 2),
     ("postgresql://ada:se%kret@localhost/x", 2), ("ada:sekret@localhost", 2), ("mysql://ada:sekret@localhost/x", 2),
     ("host=localhost password=se kret", 2), ("postgresql://ada:sekret@127.0.0.1:1/x", 1)],
)  # fmt: skip
def test_a_password_is_never_shown(bare, url, code):
    words = bare.run("--database", url, "db", "init", expect=code).stderr
    assert words and "kret" not in words


@pytest.mark.parametrize("words", [
    ["--databse=URL", "status"], ["URL", "status"], ["device", "URL"], ["db", "init", "URL"], ["status", "database=URL"], ["--json=URL", "status"],
    ["status", "--databse=URL"],
], ids=" ".join)
def test_a_url_in_the_wrong_place_is_not_repeated(bare, words):
    for url in ("postgresql://ada:sekret@localhost/x", "password='se kret'"):
        said = bare.run(*(word.replace("URL", url) for word in words), expect=2).stderr
        assert said.startswith("slotbellctl: ") and "kret" not in said


def test_help_lists_every_command_and_each_has_examples(bare):
    listed = re.findall(r"^  ([a-z]+(?: [a-z-]+)?)  +[A-Z]", bare.run("--help").stdout, re.M)
    assert listed == ["db init", "db upgrade", "db new-epoch", "device enrol", "device list", "device rotate",
                      "device revoke", "publish", "tail", "trace", "status", "top", "sessions", "kick", "drain", "reload",
                      "doctor"]  # fmt: skip
    for command in listed:
        words = bare.run(*command.split(), "--help").stdout
        assert words.startswith(f"usage: slotbellctl {command}")
        assert re.search(rf"^Examples:\n  slotbellctl {command}", words, re.M)


def test_output_that_cannot_be_written_is_a_failure(ctl):
    with open("/dev/full", "w", encoding="ascii") as full:
        assert "No space left" in ctl.run("db", "init", "--json", stdout=full, stderr=subprocess.PIPE, expect=1).stderr


def test_every_upgrade_renews_the_time_zones(bare):
    bare.run("db", "init")
    bare.query("DELETE FROM slotbell.time_zone WHERE name IN ('Europe/Berlin', 'CET') RETURNING 1")
    bare.query("INSERT INTO slotbell.time_zone VALUES ('Mars/Base') RETURNING 1")
    done = bare.run("db", "upgrade")
    assert "names new 2, names gone 1" in done.stderr and "up to date" in done.stderr
    assert bare.query("SELECT count(*) FROM slotbell.time_zone WHERE name IN ('Europe/Berlin', 'CET', 'Mars/Base')") == [2]
    assert "names new" not in bare.run("db", "upgrade").stderr
