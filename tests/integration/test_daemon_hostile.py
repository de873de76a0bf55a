"""Messages that nobody should send: each gets its close code and a reason, and nobody else notices."""

import asyncio
import json

import pytest
from raw_client import CONTINUATION, TEXT, Raw, frame, text
from session_client import SECONDS, seq_of
from witness import beside_a_witness

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
MAX = 16384  # bytes of a client's message


@pytest.fixture(scope="module")
def daemon(shared_house):
    return shared_house.daemon()


async def ended(daemon, *frames, **options):
    """How a session ends that says this after its upgrade."""
    async with Raw(daemon) as raw:
        await raw.upgrade(**options)
        await raw.send(*frames)
        return await raw.end()


def padded(message, size):
    """The message with spaces in it, so that it has this many bytes."""
    encoded = json.dumps(message).encode()
    return encoded[:-1] + b" " * (size - len(encoded)) + encoded[-1:]


def deep(levels):
    return '{"type":"ping","x":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


# what -> (a text frame's payload, what the error's detail says)
NOT_OF_THIS_PROTOCOL = {
    "nothing": (b"", "not a JSON object"),
    "words": ("hello?", "not a JSON object"),
    "a list": ('[{"type":"ping"}]', "not a JSON object"),
    "a number": ("42", "not a JSON object"),
    "half an object": ('{"type":"ping"', ""),
    "two objects": ('{"type":"ping"}{"type":"ping"}', ""),
    "a comma too many": ('{"type":"ping",}', ""),
    "a byte order mark": (b'\xef\xbb\xbf{"type":"ping"}', ""),
    "UTF-16": ('{"type":"ping"}'.encode("utf-16"), ""),
    "a byte that starts nothing": (b'{"type":"ping","x":"\xff"}', "not UTF-8"),
    "a character cut short": (b'{"type":"ping","x":"\xe2\x82"}', "not UTF-8"),
    "an overlong slash": (b'{"type":"ping","x":"\xc0\xaf"}', "not UTF-8"),
    "a surrogate": (b'{"type":"ping","x":"\xed\xa0\x80"}', "not UTF-8"),
    "beyond Unicode": (b'{"type":"ping","x":"\xf4\x90\x80\x80"}', "not UTF-8"),
    "a NUL": ('{"type":"ping","x":"\\u0000"}', ""),
    "a field twice": ('{"type":"ping","type":"ping"}', ""),
    "nesting of 17": (deep(17), ""),
    "nesting of thousands": (deep(8000), ""),
    "a number beyond 64 bits": ('{"type":"ping","x":9223372036854775808}', ""),
    "no type": ('{"token":"x"}', "type"),
    "a type that is no string": ('{"type":1}', "type"),
    "an unknown type": ('{"type":"wat"}', "type is not one that a client sends"),
    "a type of the server's": ('{"type":"welcome"}', "type is not one that a client sends"),
    "a mode that is none": ('{"type":"hello","mode":"forever"}', "mode"),
    "a cursor that is none": ('{"type":"hello","cursor":"41"}', "cursor"),
    "an ack before hello": ('{"type":"ack","cursor":"k3f9q2.1"}', "an ack before welcome"),
}


@pytest.mark.parametrize("payload, detail", NOT_OF_THIS_PROTOCOL.values(), ids=list(NOT_OF_THIS_PROTOCOL))
def test_what_is_not_of_this_protocol_is_a_bad_message(shared_house, daemon, payload, detail):
    end = beside_a_witness(shared_house, daemon, lambda: ended(daemon, frame(TEXT, payload)))
    assert (end.code, end.word, end.error["code"]) == (4400, "bad-message", "bad-message")
    assert detail in end.detail and len(end.messages) == 1


def test_an_error_does_not_repeat_what_was_sent(shared_house, daemon):
    secret = "5ecr3t"
    end = beside_a_witness(shared_house, daemon, lambda: ended(daemon, text({"type": secret, secret: secret})))
    assert end.code == 4400
    assert secret not in json.dumps(end.messages) and secret not in daemon.log_text()


def test_broken_utf8_is_found_where_frames_are_cut(shared_house, daemon):
    async def attack():
        whole = '{"type":"ping","x":"€"}'.encode()
        at = whole.index(b"\xe2") + 1
        async with Raw(daemon) as raw:
            await raw.upgrade()
            await raw.send(frame(TEXT, whole[:at], fin=False), frame(CONTINUATION, whole[at:]))
            assert await raw.message() == {"type": "pong"}  # a character across two frames is whole
            await raw.send(frame(TEXT, whole[:at], fin=False), frame(CONTINUATION, b'"}'))
            return await raw.end()

    end = beside_a_witness(shared_house, daemon, attack)
    assert end.code == 4400 and "not UTF-8" in end.detail


def test_16384_bytes_are_a_message_and_16385_are_not(shared_house, daemon):
    async def attack():
        async with Raw(daemon) as raw:
            await raw.upgrade()
            for size in (MAX - 1, MAX):
                await raw.send(frame(TEXT, padded({"type": "ping"}, size)))
                assert await raw.message() == {"type": "pong"}
            await raw.send(frame(TEXT, padded({"type": "ping"}, MAX + 1)))
            return await raw.end()

    end = beside_a_witness(shared_house, daemon, attack)
    assert (end.code, end.word, end.error["code"]) == (1009, "too-big", "too-big")


def test_fragments_add_up(shared_house, daemon):
    def cut(message, parts):
        size = -(-len(message) // parts)
        pieces = [message[at:at + size] for at in range(0, len(message), size)]
        return [frame(CONTINUATION if i else TEXT, piece, fin=i == len(pieces) - 1) for i, piece in enumerate(pieces)]

    async def attack():
        async with Raw(daemon) as raw:
            await raw.upgrade()
            for parts in (2, 3, MAX):
                await raw.send(*cut(padded({"type": "ping"}, MAX), parts))
                assert await raw.message() == {"type": "pong"}
            await raw.send(*cut(padded({"type": "ping"}, MAX + 1), 3))
            return await raw.end()

    assert beside_a_witness(shared_house, daemon, attack).code == 1009


def test_a_size_counts_when_it_is_announced(shared_house, daemon):
    async def attack():
        return await asyncio.gather(*[ended(daemon, frame(TEXT, b"{", announced=announced))
                                      for announced in (MAX + 1, 1 << 40, (1 << 63) - 1)])

    assert [end.code for end in beside_a_witness(shared_house, daemon, attack)] == [1009] * 3


def test_a_message_that_never_ends_is_not_kept(shared_house, daemon):
    part = frame(CONTINUATION, b"x" * 1000, fin=False)
    end = beside_a_witness(shared_house, daemon, lambda: ended(daemon, frame(TEXT, b"{", fin=False), *[part] * 2000))
    assert end.code == 1009


# ---- tokens ----

GARBAGE = [
    "", "x", "sbd_", "sbd_1", "sbd_1_", "sbd_1_short", "sbd_0_" + "A" * 43, "sbd_-1_" + "A" * 43, "sbd_01_" + "A" * 43,
    "sbd_9223372036854775808_" + "A" * 43, "sbd_1_" + "A" * 42, "sbd_1_" + "A" * 44, "sbd_1_" + "=" * 43,
    "sbd_1_" + "é" * 21 + "A", "SBD_1_" + "A" * 43, "sbd_1_" + "A" * 43 + " ", "'; DROP TABLE slotbell.device; --", "x" * 67,
]


@pytest.mark.parametrize("token", GARBAGE)
def test_a_token_that_is_none_is_refused(shared_house, daemon, token):
    end = beside_a_witness(shared_house, daemon, lambda: ended(daemon, text({"type": "hello", "token": token})))
    assert (end.code, end.word, end.error["code"]) == (4401, "bad-token", "bad-token")


def test_a_token_that_is_longer_than_any_is_a_bad_message(shared_house, daemon):
    end = beside_a_witness(shared_house, daemon, lambda: ended(daemon, text({"type": "hello", "token": "x" * 68})))
    assert end.code == 4400 and "token" in end.detail


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Bearer x", "Basic c2JkOng=", "sbd_1_" + "A" * 43,
                                   "Bearer " + "x" * 1000, "Bearer sbd_1_" + "A" * 43 + ", Bearer sbd_2_" + "A" * 43])
def test_a_header_that_holds_no_token_is_refused(shared_house, daemon, value):
    end = beside_a_witness(shared_house, daemon, lambda: ended(daemon, text({"type": "hello"}), Authorization=value))
    assert (end.code, end.word) == (4401, "bad-token")


def test_a_well_formed_token_of_nobody_is_refused(shared_house, daemon):
    token = shared_house.enrol(ADA)
    secret = token.split("_", 2)[2]
    wrong = secret[:-1] + ("E" if secret[-1] != "E" else "I")  # the last letter's low bits are padding
    guesses = [f"sbd_{shared_house.device_of(token)}_{wrong}", f"sbd_987654_{secret}", f"sbd_9223372036854775807_{secret}"]

    async def attack():
        return [await ended(daemon, text({"type": "hello", "token": guess})) for guess in guesses]

    ends = beside_a_witness(shared_house, daemon, attack)
    # Told alike, so that nobody learns which devices there are.
    assert {(end.code, end.detail) for end in ends} == {(4401, "no such token")}
    assert not any(guess in daemon.log_text() for guess in (wrong, secret))


# ---- out of turn ----

HELLO = {"type": "hello"}


async def welcomed(raw, token, **fields):
    await raw.send(text({**HELLO, "token": token, **fields}))
    welcome = await raw.message()
    assert welcome["type"] == "welcome", welcome
    return welcome


@pytest.mark.parametrize("wait", [False, True], ids=["at once", "after welcome"])
def test_a_second_hello_is_refused(shared_house, daemon, wait):
    token = shared_house.enrol(ADA)

    async def attack():
        async with Raw(daemon) as raw:
            await raw.upgrade()
            if wait:
                await welcomed(raw, token)
                await raw.send(text({**HELLO, "token": token}))
            else:
                await raw.send(*[text({**HELLO, "token": token})] * 2)
            return await raw.end()

    end = beside_a_witness(shared_house, daemon, attack)
    assert end.code == 4400 and end.detail == "a second hello"


def test_an_ack_before_welcome_is_refused(shared_house, daemon):
    token = shared_house.enrol(ADA)
    end = beside_a_witness(shared_house, daemon, lambda: ended(
        daemon, text({**HELLO, "token": token}), text({"type": "ack", "cursor": "k3f9q2.0"})))
    assert end.code == 4400 and end.detail == "an ack before welcome"


@pytest.mark.parametrize("ahead", [1, 1000, 1 << 62])
def test_an_ack_from_the_future_is_refused_and_acks_nothing(shared_house, daemon, ahead):
    mailbox = f"future{ahead}@example.com"
    token = shared_house.enrol(mailbox)
    for _ in range(3):
        shared_house.publish(mailbox)

    async def attack():
        async with Raw(daemon) as raw:
            await raw.upgrade()
            welcome = await welcomed(raw, token)
            epoch = welcome["cursor"].partition(".")[0]
            await raw.send(text({"type": "ack", "cursor": f"{epoch}.{welcome['head'] + ahead}"}))
            return await raw.end()

    end = beside_a_witness(shared_house, daemon, attack)
    assert end.code == 4400 and end.detail == "ack.cursor is of an event that was not sent"
    assert shared_house.ctl.query("SELECT acked FROM slotbell.device WHERE id = %s", shared_house.device_of(token)) == [0]

    async def after():
        async with shared_house.client(daemon, token) as client:
            await client.welcome()
            return [seq_of(booking["cursor"]) for booking in await client.bookings(3)]

    assert beside_a_witness(shared_house, daemon, after) == [1, 2, 3]


def test_an_ack_of_a_history_that_never_was_is_refused(shared_house, daemon):
    token = shared_house.enrol(ADA)

    async def attack():
        async with Raw(daemon) as raw:
            await raw.upgrade()
            await welcomed(raw, token)
            await raw.send(text({"type": "ack", "cursor": "zzzzzz.0"}))
            return await raw.end()

    assert beside_a_witness(shared_house, daemon, attack).code == 4400


def test_a_cursor_from_the_future_in_hello_is_a_reset(shared_house, daemon):
    token = shared_house.enrol(ADA)

    async def attack():
        async with Raw(daemon) as raw:
            await raw.upgrade()
            welcome = await welcomed(raw, token)
        async with Raw(daemon) as raw:
            await raw.upgrade()
            await welcomed(raw, token, cursor=f"{welcome['cursor'].partition('.')[0]}.{welcome['head'] + 1}")
            return await raw.message()

    reset = beside_a_witness(shared_house, daemon, attack)
    assert (reset["type"], reset["reason"]) == ("reset", "unknown-cursor")


def test_what_comes_after_a_refusal_is_not_read(shared_house, daemon):
    token = shared_house.enrol(ADA)
    later = [text({**HELLO, "token": token}), *[text({"type": "ping"})] * 1000, frame(TEXT, b"x" * 100000)]
    end = beside_a_witness(shared_house, daemon, lambda: ended(daemon, text({"type": "wat"}), *later))
    assert end.code == 4400 and [message["type"] for message in end.messages] == ["error"]


def test_pings_are_answered_and_many_at_once_are_answered_together(shared_house, daemon):
    async def attack():
        async with Raw(daemon) as raw:
            await raw.upgrade()
            await raw.send(text({"type": "ping"}) * 5000)
            assert await raw.message() == {"type": "pong"}
            await raw.send(text({"type": "wat"}))
            return await raw.end()

    end = beside_a_witness(shared_house, daemon, attack)
    assert end.code == 4400
    pongs = [message for message in end.messages if message["type"] == "pong"]
    assert len(pongs) < 4999  # what is owed is a flag, never a queue


# ---- hello in time ----


def test_who_says_no_hello_is_sent_away_whatever_else_he_says(shared_house):
    daemon = shared_house.daemon(sessions__hello_seconds=1)

    async def silent():
        async with Raw(daemon) as raw:
            await raw.upgrade()
            return await raw.end()

    async def talking():
        async with Raw(daemon) as raw:
            await raw.upgrade()
            end = asyncio.ensure_future(raw.end())
            while not end.done():
                await raw.send(text({"type": "ping"}))
                await asyncio.wait([end], timeout=0.05)
            return await end

    async def in_the_middle(part):
        async with Raw(daemon) as raw:
            await raw.upgrade()
            await raw.send(part)
            return await raw.end()

    async def attack():
        return await asyncio.gather(
            silent(), talking(), in_the_middle(frame(TEXT, b'{"type":"hello"', fin=False)),
            in_the_middle(frame(TEXT, b'{"type":', announced=200)), in_the_middle(frame(TEXT, b"", announced=16384)))

    for end in beside_a_witness(shared_house, daemon, attack, seconds=3 * SECONDS):
        assert (end.code, end.word, end.error["code"]) == (4408, "no-hello", "no-hello")
