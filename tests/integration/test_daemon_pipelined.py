"""Requests that come in one piece with the one before them: each is answered in its turn, and none stops the others."""

import contextlib
import re

import http_client as http
import pytest
from raw_client import Raw, request
from session_client import run
from witness import beside_a_witness

pytest_plugins = ["fixtures_daemon"]

ORIGIN = "https://addin.example.com"
ACK = b'{"type":"ack","cursor":"zzzzzz.0"}'  # of no history: 409
ASK, POLL, ACKS, STREAM = "/v1/reconnect", "/v1/bookings", "/v1/acks", "/v1/stream"
TOKEN = "sbd_TOKEN"  # stands for a good one


def head(method, path, body=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.head(method, path, {**http.bearer(TOKEN), **named}, body)


GET, POST = head("GET", ASK), head("POST", ACKS, ACK)
POST_HEAD = POST[: -len(ACK)]
CUT = object()  # the first answer is read before the next piece is sent

PIPELINED = {  # what -> (pieces, each one TLS record; statuses of the answers)
    "a question and an ack": ([GET + POST], [200, 409]),
    "a poll and an ack": ([head("GET", POLL) + POST], [200, 409]),
    "two acks": ([POST + POST], [409, 409]),
    "a hundred acks": ([POST * 100], [409] * 100),
    "questions around an ack": ([GET + GET + POST + GET], [200, 200, 409, 200]),
    "a head, and its body later": ([GET + POST_HEAD, ACK], [200, 409]),
    "half a body, and the rest later": ([GET + POST[:-10], POST[-10:]], [200, 409]),
    "half a head, and the rest later": ([GET + POST[:60], POST[60:]], [200, 409]),
    "behind an answer that was read": ([GET, CUT, POST + POST], [200, 409, 409]),
    "behind two": ([POST, CUT, POST + GET + POST], [409, 409, 200, 409]),
    **{f"a body of {size} bytes and a question": ([head("POST", ACKS, ACK + b" " * (size - len(ACK))) + GET], [409, 200])
       for size in (1024, 12288, 15360, 15900)},  # all with its head and the next one: under and over one TLS record
    "the largest body and a question": ([head("POST", ACKS, ACK + b" " * (16384 - len(ACK))) + GET], [409, 200]),
    "a byte more": ([head("POST", ACKS, ACK + b" " * (16385 - len(ACK))) + GET], [413]),
    "a body for a question": ([GET + head("GET", ASK, b"hello") + GET], [200, 200]),
    "a long body for a question": ([GET + head("GET", ASK, b"hello" * 2000) + GET], [200, 200]),
    "a body for a poll that waits": ([GET + head("GET", POLL + "?wait=1", ACK)], [200, 200]),
    "a body for a stream": ([GET + head("GET", STREAM + "?mode=once", ACK)], [200, 200]),
    "a body for the poll's path": ([GET + head("POST", POLL, ACK)], [200, 405]),
    "a body for the stream's path": ([GET + head("POST", STREAM, ACK)], [200, 405]),
    "a body for the websocket's path": ([GET + head("POST", "/v1/session", ACK)], [200, 426]),
    "a body for no path": ([GET + head("POST", "/v1/nothing", ACK)], [200, 404]),
    **{f"a body with {method}": ([GET + head(method, ACKS, ACK) + GET], [200, status])
       for method, status in (("HEAD", 405), ("PUT", 405), ("PATCH", 405), ("DELETE", 405), ("OPTIONS", 204))},
    "a PUT that says no length": ([GET + head("PUT", ACKS) + ACK], None),
    "a method in a header": ([GET + head("GET", ASK).replace(b"\r\n", b"\r\nPOST /v1/acks HTTP/1.1\r\n", 1) + ACK], [200, 400]),
    "an empty body": ([GET + head("POST", ACKS, b"") + b"xxxx"], [200, 400]),
    "an ack behind an empty body": ([head("POST", ACKS, b"") + POST], [400]),
    "a negative length": ([GET + POST.replace(b"Length: ", b"Length: -")], [200, 400]),
    "a length in words": ([GET + POST.replace(b"Length: ", b"Length: x")], [200, 400]),
    "a length with a nought before it": ([GET + POST.replace(b"Length: ", b"Length: 0")], [200, 400]),
    "a length twice": ([GET + POST.replace(b"Content", b"Content-Length: 5\r\nContent", 1)], [200, 400]),
    "a huge length": ([GET + POST.replace(b"Length: ", b"Length: 999999999999")], [200, 413]),
    "chunks": ([GET + head("POST", ACKS, Transfer_Encoding="chunked") + b"22\r\n" + ACK + b"\r\n0\r\n\r\n"], [200, 411]),
    "chunks and a length": ([GET + head("POST", ACKS, ACK, Transfer_Encoding="chunked")], [200, 400]),
    "chunks behind a blank": ([GET + POST.replace(b"Content", b"Transfer-Encoding : chunked\r\nContent", 1)], [200, 400]),
    "expected to be told, and sent at once": ([GET + head("POST", ACKS, ACK, Expect="100-continue")], [200, 409]),
    "rubbish": ([POST + b"x" * 5000], None),
    "a websocket": ([POST + request()], [409, 101]),
    "a websocket with a body": ([GET + request(Content_Length="5") + b"hello"], [200, 400]),
    "an unknown upgrade with a body": ([GET + request(Upgrade="teapot", Content_Length="5") + b"hello"], [200, 426]),
    "an empty line and an ack": ([GET + b"\r\n" + POST], [200, 409]),
    "empty lines and an ack": ([GET + b"\r\n\r\n" + POST], [200, 400]),
    "a preflight and an ack": ([head("OPTIONS", ACKS, Origin=ORIGIN) + POST], [204]),
    "a browser's acks": ([head("POST", ACKS, ACK, Origin=ORIGIN) * 2], [409, 409]),
    "acks without a token": ([POST.replace(b"Authorization", b"X-Nothing") * 2], [401]),
    "an ack behind HTTP/1.0": ([POST.replace(b"HTTP/1.1", b"HTTP/1.0") + POST], [409]),
    "more than a record": ([(GET + POST) * 100], [200, 409] * 100),
}


async def sent(daemon, token, pieces):
    """All that is answered to them before the connection ends."""
    found = b""
    async with Raw(daemon) as raw:
        for piece in pieces:
            if piece is CUT:
                head = await raw.reader.readuntil(b"\r\n\r\n")
                found += head + await raw.reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))
            else:
                await raw.send(piece.replace(TOKEN.encode(), token.encode()))
        with contextlib.suppress(ConnectionError):
            return found + await raw.read_to_end()


def statuses(answers):
    return [int(answer.split()[0]) for answer in answers.split(b"HTTP/1.1 ")[1:]]


@pytest.fixture(scope="module")
def daemon(shared_house):
    return shared_house.daemon(listen__origins=ORIGIN, listen__keep_alive_seconds=1, sessions__hello_seconds=2)


@pytest.fixture(scope="module")
def token(shared_house):
    return shared_house.enrol("ada@example.com")


@pytest.mark.parametrize("pieces, expected", PIPELINED.values(), ids=list(PIPELINED))
def test_what_comes_with_a_request_stops_nobody_else(shared_house, daemon, token, pieces, expected):
    answers = beside_a_witness(shared_house, daemon, lambda: sent(daemon, token, pieces))
    assert expected is None or statuses(answers) == expected, answers


def test_requests_in_records_of_their_own_are_all_answered(daemon, token):
    """Though they may come in one segment of TCP."""

    async def story():
        async with http.Kept(daemon) as one:
            for _ in range(5):
                one.writer.write(GET.replace(TOKEN.encode(), token.encode()))
                one.writer.write(POST.replace(TOKEN.encode(), token.encode()))
            return [(await one.answer()).status for _ in range(10)]

    assert run(story()) == [200, 409] * 5


def test_a_client_that_waits_for_it_is_told_to_go_on(daemon, token):
    """RFC 9110 section 10.1.1."""

    async def story():
        async with http.Kept(daemon) as one:
            one.writer.write(head("POST", ACKS, ACK, Expect="100-continue")[: -len(ACK)].replace(TOKEN.encode(), token.encode()))
            told = await one.reader.readuntil(b"\r\n\r\n")
            one.writer.write(ACK)
            return told, (await one.answer()).status

    assert run(story()) == (b"HTTP/1.1 100 Continue\r\n\r\n", 409)
