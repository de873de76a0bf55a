"""Frames that RFC 6455 forbids, and clients that vanish in the middle of one: nobody else notices.

What breaks the framing is closed with 1002, after an error that says what was wrong.
"""

import asyncio
import socket
import ssl
import struct

import pytest
from raw_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, frame, text
from witness import beside_a_witness

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"


@pytest.fixture(scope="module")
def daemon(shared_house):
    return shared_house.daemon()


async def ended(daemon, *frames, **options):
    async with Raw(daemon) as raw:
        await raw.upgrade(**options)
        await raw.send(*frames)
        return await raw.end()


def all_ended(house, daemon, attacks):
    """How each of the attacks ended, beside a witness: {what: End}."""

    async def attack():
        ends = await asyncio.gather(*[ended(daemon, *frames) for frames in attacks.values()])
        return dict(zip(attacks, ends))

    return beside_a_witness(house, daemon, attack)


def test_binary_frames_are_refused(shared_house, daemon):
    ends = all_ended(shared_house, daemon, {
        "whole": [frame(BINARY, '{"type":"ping"}')], "empty": [frame(BINARY)],
        "in parts": [frame(BINARY, '{"type":', fin=False), frame(CONTINUATION, '"ping"}')]})
    for what, end in ends.items():
        assert (end.code, end.word, end.detail) == (4400, "bad-message", "a binary frame; messages are text"), what


def test_frames_that_the_rfc_forbids_end_the_connection_with_1002(shared_house, daemon):
    attacks = {f"opcode {opcode}": [frame(opcode, "x")] for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)}
    attacks.update({f"RSV bits {rsv}": [frame(TEXT, '{"type":"ping"}', rsv=rsv)] for rsv in (1, 2, 4, 7)})
    attacks.update({
        "a fragmented ping": [frame(PING, "x", fin=False)],
        "a fragmented close": [frame(CLOSE, fin=False)],
        "a continuation of nothing": [frame(CONTINUATION, "x")],
        "a continuation after the end": [text({"type": "ping"}), frame(CONTINUATION, "x")],
        "text amid fragments": [frame(TEXT, '{"type":', fin=False), text({"type": "ping"})],
    })
    for what, end in all_ended(shared_house, daemon, attacks).items():
        assert (end.code, end.word) == (1002, "bad-frame"), (what, end)


def test_lengths_that_the_rfc_forbids_end_the_connection(shared_house, daemon):
    ends = all_ended(shared_house, daemon, {
        "a ping of 126 bytes": [frame(PING, b"x" * 126)], "a close of 65536 bytes": [frame(CLOSE, b"x" * 65536)],
        "a length of 2^63": [frame(TEXT, "x", announced=1 << 63)]})
    for what, end in ends.items():
        assert (end.code, end.word) == (1002, "bad-frame"), (what, end)


def test_a_frame_that_is_not_masked_ends_the_connection(shared_house, daemon):
    """RFC 6455 section 5.1."""
    end = beside_a_witness(shared_house, daemon, lambda: ended(daemon, frame(TEXT, '{"type":"ping"}', masked=False)))
    assert (end.code, end.word) == (1002, "bad-frame")


def test_pings_are_answered_also_amid_a_message(shared_house, daemon):
    async def attack():
        async with Raw(daemon) as raw:
            await raw.upgrade()
            for payload in (b"", b"x" * 125):
                await raw.send(frame(PING, payload))
                assert await raw.frame() == (0x80 | PONG, payload)
            await raw.send(frame(TEXT, '{"type":', fin=False), frame(PING, "amid"))
            assert await raw.frame() == (0x80 | PONG, b"amid")
            await raw.send(frame(PONG, "unasked"), frame(PONG), frame(CONTINUATION, '"ping"}'))
            assert await raw.message() == {"type": "pong"}

    beside_a_witness(shared_house, daemon, attack)


def test_a_flood_of_pings_and_of_empty_fragments_is_borne(shared_house, daemon):
    ends = all_ended(shared_house, daemon, {
        "pings": [frame(PING, b"x" * 125) * 5000, frame(TEXT, "end")],
        "pongs": [frame(PONG, b"x" * 125) * 5000, frame(TEXT, "end")],
        "fragments": [frame(TEXT, fin=False), frame(CONTINUATION, fin=False) * 20000, frame(CONTINUATION, "end")]})
    assert {end.code for end in ends.values()} == {4400}


CLOSES = {  # what a client closes with -> what it is answered with
    b"": 1005, struct.pack("!H", 1000): 1000, struct.pack("!H", 1001) + b"page gone": 1001,
    struct.pack("!H", 3000): 3000, struct.pack("!H", 4999): 4999,
    struct.pack("!H", 0): 1002, struct.pack("!H", 999): 1002, struct.pack("!H", 1005): 1002, struct.pack("!H", 1006): 1002,
    struct.pack("!H", 1012): 1012, struct.pack("!H", 1015): 1002, struct.pack("!H", 1016): 1002, struct.pack("!H", 2999): 1002,
    struct.pack("!H", 5000): 1002, b"\x03": 1002, struct.pack("!H", 1000) + b"\xff": 1007,
}


def test_a_close_is_answered_whatever_its_code(shared_house, daemon):
    ends = all_ended(shared_house, daemon, {payload: [frame(CLOSE, payload)] for payload in CLOSES})
    assert {payload: end.code for payload, end in ends.items()} == CLOSES


def test_nothing_is_sent_after_a_close_of_the_servers(shared_house, daemon):
    token, other = shared_house.enrol(ADA), shared_house.enrol(ADA)

    async def attack():
        async with Raw(daemon) as raw, shared_house.client(daemon, other) as client:
            await client.welcome()
            await raw.upgrade()
            await raw.send(text({"type": "hello", "token": token}))
            while (await raw.message())["type"] != "live":
                pass
            await raw.send(frame(3))
            assert (await raw.message())["type"] == "error"
            opcode, payload = await raw.frame()
            assert (opcode & 0xF, payload[:2]) == (CLOSE, struct.pack("!H", 1002))
            await asyncio.to_thread(shared_house.publish, ADA)  # the close is not answered yet
            await client.until("booking")  # and to the other device of this mailbox it came
            return await raw.frame()

    assert beside_a_witness(shared_house, daemon, attack) is None


def test_compression_is_offered_in_vain(shared_house, daemon):
    async def attack():
        async with Raw(daemon) as raw:
            response = await raw.upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
            await raw.send(text({"type": "ping"}))
            assert await raw.frame() == (0x80 | TEXT, b'{"type":"pong"}')  # as it is
            return response

    assert "sec-websocket-extensions" not in beside_a_witness(shared_house, daemon, attack).headers


# ---- vanishing ----


@pytest.mark.parametrize("how", ["reset", "end of TLS", "end of TCP"])
def test_a_client_may_vanish_anywhere_in_a_frame(shared_house, daemon, how):
    whole = frame(TEXT, b'{"type":"hello","token":"' + b"x" * 200)
    places = [*range(1, 16), 100, len(whole) - 1]

    async def vanish(at):
        async with Raw(daemon) as raw:
            await raw.upgrade()
            await raw.send(whole[:at])
            if how == "end of TLS":
                raw.writer.close()
                return await raw.read_to_end()
            if how == "end of TCP":
                raw.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
                return await raw.read_to_end()
            raw.drop()
            return b""

    async def attack():
        return await asyncio.gather(*[vanish(at) for at in places])

    beside_a_witness(shared_house, daemon, attack)


def test_a_record_that_was_tampered_with_ends_the_connection(shared_house, daemon):
    async def attack():
        """TLS by hand, to change a bit of what it sends."""
        context, incoming, outgoing = daemon.tls(), ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=daemon.address)
        async with Raw(daemon, tls=False) as raw:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await raw.send(outgoing.read())
                    incoming.write(await raw.reader.read(65536))
            tls.write(b"GET / HTTP/1.1\r\n\r\n")
            record = bytearray(outgoing.read())
            record[-1] ^= 1
            await raw.send(bytes(record))
            return await raw.read_to_end()

    answer = beside_a_witness(shared_house, daemon, attack)
    assert b"HTTP" not in answer  # an alert at most
