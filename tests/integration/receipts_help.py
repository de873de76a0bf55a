"""What the tests of receipts, retention and restore share: acks, looks at rows, and time that passes."""

import psycopg
from fixtures_sql import PROOF, publish

ADA, BOB = "ada@example.com", "bob@example.com"


def epoch(db, mailbox):
    return db.one("SELECT epoch FROM slotbell.mailbox WHERE address = %s", mailbox)


def ack(db, device, seq, failed=None, sent=None, session_no=None):
    """failed: {seq: reason}. sent: {seq: microseconds}, without a hole. session_no None: whosever. Returns (outcome, acked)."""
    failed, sent = failed or {}, sent or {}
    row = db.query(
        "SELECT outcome, acked FROM slotbell.ack(%s::bigint[], ARRAY(SELECT m.epoch FROM slotbell.mailbox m JOIN slotbell.device d"
        " ON d.mailbox_id = m.id WHERE d.id = %s), %s::bigint[], %s::int[], %s::bigint[], %s::text[], '{}', %s::bigint[], %s::int[],"
        " %s::bigint[], %s::bigint[])",
        [device], device, [seq], [1] * len(failed), list(failed), list(failed.values()),
        [min(sent, default=0)], [len(sent)], [sent[s] for s in sorted(sent)],
        None if session_no is None else [session_no],
    )  # fmt: skip
    return row[0]


def hello(db, device, takes_over=True, proof=PROOF):
    """What authenticate says of the device, as a dictionary; None: not now."""
    with psycopg.connect(db.url, autocommit=True) as connection:
        cursor = connection.execute("SELECT * FROM slotbell.authenticate(%s, %s, %s)", ([device], [proof], [takes_over]))
        names = [column.name for column in cursor.description]
        row = cursor.fetchone()
    return row and dict(zip(names, row, strict=True))


SWEEP = {"after_mailbox": 0, "after_device": 0, "max_mailboxes": 100, "max_rows": 100, "grace_seconds": 0,
         "retention_days": 14, "receipts_days": 90, "stale_days": 90}


def sweep(db, connection=None, **changes):
    """One step, as a dictionary. Whoever had the lease has it no more."""
    values = {**SWEEP, **changes}
    sql = f"SELECT * FROM slotbell.sweep_step({', '.join(f'{name} => %({name})s' for name in values)})"
    with psycopg.connect(db.url, autocommit=True) as own:
        own.execute("UPDATE slotbell.sweep_lease SET lease_until = '-infinity'")
        cursor = (connection or own).execute(sql, values)
        step = dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))
        assert step.pop("held")
        return step


def sweep_all(db, **changes):
    """Steps until two rounds found nothing to do. Returns what they did in all."""
    total, idle, places = {}, 0, {}
    while idle < 2:
        step = sweep(db, **{**changes, **places})
        places = {"after_mailbox": step.pop("next_mailbox") or 0, "after_device": step.pop("next_device")}
        for name, count in step.items():
            total[name] = total.get(name, 0) + count
        if any(step.values()):
            idle = 0
        elif not any(places.values()):
            idle += 1
    return total


def age(db, days):
    """Lets so many days pass: whatever was, was so much earlier."""
    columns = {}
    for table, column in db.query(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN pg_tables t ON t.schemaname = c.table_schema"
        " AND t.tablename = c.table_name WHERE c.table_schema = 'slotbell' AND c.data_type = 'timestamp with time zone'"
    ):
        columns.setdefault(table, []).append(column)
    with psycopg.connect(db.url) as connection:
        for table, names in columns.items():
            changes = ", ".join(f"{name} = {name} - make_interval(days => {int(days)})" for name in names)
            connection.execute(f"UPDATE slotbell.{table} SET {changes}")


def text_of(db):
    """Everything that the schema's tables hold, as one text."""
    tables = db.query("SELECT tablename FROM pg_tables WHERE schemaname = 'slotbell' ORDER BY 1")
    return {table: db.one(f"SELECT coalesce(string_agg(t::text, chr(10)), '') FROM slotbell.{table} t") for table in tables}


def book(db, *uids, mailbox=ADA):
    connection = db.connect()
    for uid in uids:
        publish(connection, mailbox, uid)


def floor(db, mailbox=ADA):
    return db.one("SELECT floor FROM slotbell.mailbox WHERE address = %s", mailbox)


def count(db, table):
    return db.one(f"SELECT count(*) FROM slotbell.{table}")


def execute(db, sql, *values):
    with db.connect() as connection:
        connection.execute(sql, values or None)


def counted(db):
    """The count that decides over copies, and what it should be."""
    return db.query("SELECT m.device_count, count(d.id) FROM slotbell.mailbox m LEFT JOIN slotbell.device d ON d.mailbox_id = m.id"
                    " AND d.revoked_at IS NULL AND d.stale_at IS NULL GROUP BY m.id ORDER BY m.id")  # fmt: skip
