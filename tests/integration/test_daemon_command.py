"""slotbelld as a program: its options, what it says of a configuration, and who wins of file, environment and flags."""

import pytest
from command_support import URL, slotbelld

pytest_plugins = ["fixtures_command"]


def printed(*arguments, **environment):
    """What --print-config prints, as {"section.key": value}."""
    run = slotbelld("--print-config", *arguments, **environment)
    assert run.returncode == 0, run.stderr
    section, values = "", {}
    for line in run.stdout.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition(" = ")
            values[f"{section}.{key}"] = value
    return values


def test_help_and_version_go_to_standard_output():
    for option, words in (("--help", "Usage: slotbelld"), ("--version", "slotbelld ")):
        run = slotbelld(option)
        assert run.returncode == 0 and words in run.stdout and run.stderr == ""


@pytest.mark.parametrize("arguments", [["--what"], ["word"], ["--config"], ["--set"]])
def test_what_it_does_not_know_is_a_usage_error(arguments):
    run = slotbelld(*arguments)
    assert run.returncode == 2 and run.stdout == "" and "--help" in run.stderr


def test_too_many_settings_are_a_usage_error(file):
    assert slotbelld("-c", file, "--check-config", *["--set", "log.level=info"] * 64).returncode == 0
    assert slotbelld("-c", file, "--check-config", *["--set", "log.level=info"] * 65).returncode == 2


def test_a_good_configuration_is_said_to_be(file):
    run = slotbelld("--config", file, "--check-config")
    assert run.returncode == 0 and run.stdout == "The configuration is good.\n" and run.stderr == ""


def test_default_then_file_then_environment_then_command_line(file):
    window = "sessions.window"
    assert printed("-c", file, "--set", "sessions.max=9")["sessions.handshakes"] == "64"
    assert printed("-c", file)[window] == "7"
    assert printed("-c", file, SLOTBELL_SESSIONS_WINDOW="8")[window] == "8"
    assert printed("-c", file, "--set", f"{window}=9", SLOTBELL_SESSIONS_WINDOW="8")[window] == "9"
    assert printed("-c", file, "--set", f"{window}=9", "-s", f"{window}=10", SLOTBELL_SESSIONS_WINDOW="8")[window] == "10"


def test_all_of_it_may_come_from_the_environment(pair):
    values = printed("-c", "/dev/null", SLOTBELL_TLS_CERTIFICATE=str(pair["certificate"]), SLOTBELL_TLS_KEY=str(pair["key"]),
                     SLOTBELL_DATABASE_URL=URL, SLOTBELL_LISTEN_ADDRESS="127.0.0.1:1")  # fmt: skip
    assert values["listen.address"] == "127.0.0.1:1" and values["tls.key"] == str(pair["key"])


def test_what_is_printed_is_a_configuration_again_and_shows_no_password(file, tmp_path):
    run = slotbelld("-c", file, "--print-config")
    assert "hidden-word" not in run.stdout + run.stderr
    again = tmp_path / "printed.conf"
    again.write_text(run.stdout)
    assert slotbelld("-c", again, "--print-config").stdout == run.stdout


def test_every_problem_is_told_at_once_with_its_place_and_what_would_be_right(file):
    file.write_text("[tls]\ncertificate = /nowhere/cert.pem\nkey = /nowhere/key.pem\n[sessions]\nwindow = 257\nwindows = 3\n"
                    "[database]\nurl = mysql://x:hidden-word@y/z\n")  # fmt: skip
    run = slotbelld("-c", file, "--check-config", "--set", "log.level=loud", "--set", "nonsense", SLOTBELL_SESSIONS_HELLO_SECONDS="0")
    assert run.returncode == 3 and run.stdout == ""
    for words in (
        f"{file}:5: [sessions] window = 257: must be a whole number from 1 to 256",
        f"{file}:6: [sessions] windows: no such key",
        "SLOTBELL_SESSIONS_HELLO_SECONDS: [sessions] hello_seconds = 0: must be a whole number from 1 to 300",
        "--set: [log] level = loud: must be one of: error, warning, notice, info or debug",
        "--set nonsense: not section.key=value",
        f"{file}:2: [tls] certificate = /nowhere/cert.pem: cannot be read", f"{file}:3: [tls] key = /nowhere/key.pem: cannot be read",
        f"{file}:8: [database] url is not a PostgreSQL URL", "the configuration has 8 problems",
    ):  # fmt: skip
        assert words in run.stderr, run.stderr
    assert "hidden-word" not in run.stderr


def test_without_any_configuration_it_says_what_is_needed(file):
    file.write_text("")
    run = slotbelld("-c", file)
    assert run.returncode == 3
    for name in ("SLOTBELL_TLS_CERTIFICATE", "SLOTBELL_TLS_KEY", "SLOTBELL_DATABASE_URL"):
        assert f"(or set {name})" in run.stderr
    run = slotbelld("-c", f"{file}.not", "--check-config")
    assert run.returncode == 3 and f"{file}.not: cannot be read: No such file or directory" in run.stderr


# A password in every form that libpq takes, and in the wrong place. (test_store_url.c has what is shown in its stead.)
SECRET = "sesame"
GOOD = [
    f"postgresql://u:{SECRET}@h/x", f"postgresql://u:{SECRET}%20{SECRET}@h/x", f"postgresql:///x?user=u&password={SECRET}",
    f"postgresql:///x?pass%77ord={SECRET}", f"postgresql:///x?password={SECRET}&password=", f"postgresql:///x?sslpassword={SECRET}",
    f"password={SECRET}", f"password='{SECRET} {SECRET}'", f"password = '{SECRET}' host = h", f"password='a\\'{SECRET}'",
    f"password=a\\ {SECRET}", f"sslpassword={SECRET}", f"password\t=\t{SECRET} user=u", f"password={SECRET} password=",
]  # fmt: skip
BAD = [
    f"postgresql://u:a@{SECRET}@h/x", f"postgresql://u:a/{SECRET}@h/x", f"postgresql://u:1/{SECRET}@h/x", f"postgresql://{SECRET}@u:a@h/x",
    f"mysql://u:{SECRET}@h/x", f"password='{SECRET}", f"passwort={SECRET}", f"password=a {SECRET}", f"u:{SECRET}@h",
    f"service=x password={SECRET}",
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_no_secret_of_the_database_is_printed(pair, url):
    pair = {f"SLOTBELL_TLS_{kind.upper()}": str(pair[kind]) for kind in ("certificate", "key")}
    for arguments, more in ((["--set", f"database.url={url}"], {}), ([], {"SLOTBELL_DATABASE_URL": url})):
        run = slotbelld("-c", "/dev/null", "--print-config", *arguments, **pair, **more)
        assert run.returncode == 0 and "password=***" in run.stdout and SECRET not in run.stdout + run.stderr


@pytest.mark.parametrize("url", BAD)
def test_a_url_that_is_not_good_is_refused_without_its_secret(pair, url):
    pair = {f"SLOTBELL_TLS_{kind.upper()}": str(pair[kind]) for kind in ("certificate", "key")}
    for option in ("--print-config", "--check-config"):
        run = slotbelld("-c", "/dev/null", option, **pair, SLOTBELL_DATABASE_URL=url)
        assert run.returncode == 3 and "[database] url " in run.stderr and SECRET not in run.stdout + run.stderr


@pytest.mark.parametrize("arguments", [
    ["--set", "URL"], ["--set", "database url=URL"], ["--set", "databas.url=URL"], ["--set", "database.ur=URL"], ["--sett=database.url=URL"],
    ["--check-config=URL"], ["URL"], ["database.url=URL"],
], ids=" ".join)
def test_a_url_in_the_wrong_place_is_not_repeated(arguments):
    for url in (f"postgresql://u:{SECRET}@h.example.com/x?sslmode=require", f"host=h password={SECRET}"):
        run = slotbelld("-c", "/dev/null", "--check-config", *(word.replace("URL", url) for word in arguments))
        assert run.returncode in (2, 3) and run.stderr and SECRET not in run.stdout + run.stderr


def test_a_line_of_the_file_that_has_lost_its_key_is_not_repeated(file):
    for text in (f"[database]\nurl =\n{SECRET}@h/x?sslmode=require\n", f"[database]\nu:{SECRET}@h/x\n", f"{SECRET}@h/x?a=b\n",
                 f"[postgresql://u:{SECRET}@h]\nx = 1\n", f"[database]\n{SECRET} @h\n"):  # fmt: skip
        file.write_text(text)
        run = slotbelld("-c", file, "--check-config")
        assert run.returncode == 3 and SECRET not in run.stdout + run.stderr, text
