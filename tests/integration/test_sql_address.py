"""Addresses fold the same in every locale, and those that 0.1.0 folded in the database's own are found after the upgrade."""

import subprocess

import pytest
from fixtures_sql import Database, apply_schema, publish
from pgcluster import PgCluster

BEFORE = 8  # the version that 0.1.0 has
LOCALES = {
    "c": "LC_COLLATE 'C' LC_CTYPE 'C'",
    "c_utf8": "LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
    "icu_root": "LOCALE_PROVIDER icu ICU_LOCALE 'und' LC_COLLATE 'C' LC_CTYPE 'C'",
    "icu_de": "LOCALE_PROVIDER icu ICU_LOCALE 'de' LC_COLLATE 'C' LC_CTYPE 'C'",
    "icu_tr": "LOCALE_PROVIDER icu ICU_LOCALE 'tr' LC_COLLATE 'C' LC_CTYPE 'C'",
    "icu_lt": "LOCALE_PROVIDER icu ICU_LOCALE 'lt' LC_COLLATE 'C' LC_CTYPE 'C'",
    "icu_el": "LOCALE_PROVIDER icu ICU_LOCALE 'el' LC_COLLATE 'C' LC_CTYPE 'C'",
}
# As somebody writes it, and as it is kept.
WRITTEN = {
    "INFO@EXAMPLE.COM": "info@example.com",
    "MÜLLER@example.com": "müller@example.com",
    "STRAẞE@example.com": "straße@example.com",
    "İZMİR@example.com": "izmir@example.com",
    "ıŞıK@example.com": "ışık@example.com",
    "ΟΔΟΣ@example.com": "οδοσ@example.com",
    "οδος@example.com": "οδοσ@example.com",
    "ИВАН@ПРИМЕР.РФ": "иван@пример.рф",
    "ǅ.Ǆ@example.com": "ǆ.ǆ@example.com",
    "𐐀@example.com": "𐐨@example.com",
    "日本@example.com": "日本@example.com",
}


@pytest.fixture(scope="module")
def cluster():
    with PgCluster() as made:
        yield made


def create(cluster, name, locale, last=None, schema=True):
    cluster.psql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {LOCALES[locale]}")
    if schema:
        apply_schema(cluster.url(name), last)
    return Database(cluster.url(name), cluster, name)


@pytest.fixture(scope="module", params=LOCALES)
def local(cluster, request):
    made = create(cluster, f"fold_{request.param}", request.param)
    yield made
    made.close()
    cluster.drop_database(made.name)


def simple(character):
    """Unicode's simple lower-case mapping, and what fold_letters() says of three letters."""
    return {"\u0130": "i", "\u03c2": "\u03c3"}.get(character, character.lower())


def test_every_letter_of_unicode_folds_as_python_says(local):
    """In one text with an x around each, so that no letter is the last of a word."""
    letters = [chr(code) for code in range(0x20, 0x20000) if not 0xD800 <= code < 0xE000 and chr(code) not in "\u0307"]
    folded = local.one("SELECT slotbell.fold_address(%s)", "x".join(letters)).split("x")
    assert folded == "x".join(map(simple, letters)).split("x")


def test_an_address_is_folded_and_what_is_folded_stays_as_it_is(local):
    for written, kept in WRITTEN.items():
        assert local.query("SELECT slotbell.fold_address(%s), slotbell.fold_address(%s)", written, kept) == [(kept, kept)]
    assert local.one("SELECT slotbell.fold_address(NULL)") is None
    for odd in ("i\u0307\u0307\u0307x", "I\u0307x", "\u0130\u0307x"):
        assert local.one("SELECT slotbell.fold_address(%s)", odd) == "ix"


def test_a_booking_rings_however_its_address_is_written(local):
    with local.connect() as connection:
        for number, (written, kept) in enumerate(WRITTEN.items()):
            local.enrol(kept if number % 2 else written)
            for uid, mailbox in (("a", written), ("b", kept), ("c", written.title() if written.isascii() else written)):
                assert publish(connection, mailbox, f"{number}-{uid}") is not None, written
            assert len(local.seqs(written)) >= 3
            assert set(local.query("SELECT uid FROM slotbell.delivery_of(%s, %s)", f"{number}-a", written)) == {f"{number}-a"}
            assert kept in local.query("SELECT mailbox FROM slotbell.begin_resync(ARRAY[%s])", written)
    assert set(local.query("SELECT address FROM slotbell.mailbox")) == set(WRITTEN.values())


def test_the_canary_of_this_visit_is_forgotten_however_it_is_written(local):
    local.enrol("canary-INI@doctor.invalid")
    assert local.one("SELECT slotbell.forget_canaries('CANARY-ini@DOCTOR.INVALID')") == 1


@pytest.mark.parametrize("locale", LOCALES)
def test_a_mailbox_of_before_is_found_after_the_upgrade(cluster, locale):
    """Each was enrolled with 0.1.0 as it is written here, and the backend goes on to write it so."""
    db = create(cluster, f"used_{locale}", locale, last=BEFORE)
    written = [one for one in WRITTEN if not one.startswith(("ıŞıK" if locale == "icu_tr" else "-", "οδος"))]
    for address in written:
        db.enrol(address)
    said = apply_schema(db.url, after=BEFORE)
    with db.connect() as connection:
        for address in written:
            assert publish(connection, address, "u") is not None, address
            assert publish(connection, WRITTEN[address], "v") is not None, address
    assert len(db.query("SELECT 1 FROM slotbell.mailbox")) == len(written)
    assert any("without its dot" in line for line in said) == (locale == "icu_tr"), said
    db.close()
    cluster.drop_database(db.name)


def test_two_mailboxes_of_one_address_are_told_at_the_upgrade(cluster):
    """C tells MÜLLER and müller apart."""
    db = create(cluster, "twice", "c", last=BEFORE)
    db.enrol("müller@example.com")
    db.enrol("MÜLLER@example.com")
    said = apply_schema(db.url, after=BEFORE)
    assert [line for line in said if line.startswith("mailbox 2 has the address of another one")], said
    assert not any("ller@" in line for line in said)
    db.close()
    cluster.drop_database(db.name)


@pytest.mark.parametrize(("source", "target"), [("c", "icu_tr"), ("icu_tr", "c"), ("icu_de", "icu_tr"), ("c", "icu_lt")])
def test_a_dump_goes_from_one_locale_to_another(cluster, source, target):
    db = create(cluster, "moves", source)
    for address in WRITTEN.values():
        db.enrol(address)
    other = create(cluster, "moved", target, schema=False)
    dump = subprocess.run([f"{cluster.bin}/pg_dump", "-Fp", db.url], check=True, capture_output=True, text=True).stdout
    subprocess.run([f"{cluster.bin}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", other.url], input=dump, check=True, capture_output=True, text=True)
    with other.connect() as connection:
        for written in WRITTEN:
            assert publish(connection, written, f"u {written}".replace(" ", "-")) is not None, written
    for one in (db, other):
        one.close()
        cluster.drop_database(one.name)
