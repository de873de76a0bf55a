"""A scripted server of slotbell.v1 for tests of clients, apart from slotbelld on purpose.

Each connection is answered by the test's own script, so a test can do what a
good server never would: repeat, skip, forget, break off. Beside it a proxy that
knows CONNECT, and the throwaway certificates that both ends need.
"""

import asyncio
import base64
import json
import pathlib
import ssl
import subprocess
import threading

import websockets

EPOCH = "k3f9q2"
PUBLISHED_AT = "2026-11-23T09:12:44.123456Z"
SECONDS = 30  # for anything that a test waits for; an error, never a delay


def cursor(seq, epoch=EPOCH):
    return f"{epoch}.{seq}"


def booking(seq, uid, change="created", epoch=EPOCH, **fields):
    """A whole booking message; a field that is None is left out."""
    details = {
        "uid": uid, "version": seq, "starts_at": "2026-11-24T09:00:00Z", "starts_local": "2026-11-24T10:00:00",
        "time_zone": "Europe/Berlin", "duration_minutes": 30, "subject": f"Intro call {seq}",
        "attendees": [{"name": "Grace Hopper", "email": "grace@example.com"}],
    }
    details.update(fields)
    return {"type": "booking", "seq": seq, "cursor": cursor(seq, epoch), "change": change,
            "published_at": PUBLISHED_AT, "booking": {key: value for key, value in details.items() if value is not None}}


class Certificates:
    """A CA and what it signs, by the openssl program, in a folder of the test's."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self._authority("ca")

    def _openssl(self, *words):
        subprocess.run(["openssl", *map(str, words)], cwd=self.folder, check=True, capture_output=True)

    def _authority(self, name):
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", f"/CN=throwaway {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        return self.folder / f"{name}.pem"

    def server(self, name, san="DNS:localhost,IP:127.0.0.1,IP:::1", days=2, authority="ca"):
        """An SSLContext with a certificate for `san`; days -1: expired yesterday."""
        if not (self.folder / f"{authority}.key").exists():
            self._authority(authority)
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={san}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                      "-CAcreateserial", "-days", days, "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context


class Loop:
    """An asyncio loop in a thread; what goes wrong in it is raised where the test ends."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.errors = []

    def __enter__(self):
        self.thread.start()
        self.run(self.start())
        return self

    def __exit__(self, kind, _value, _traceback):
        self.run(self.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(SECONDS)
        self.loop.close()
        if self.errors and kind is None:
            raise self.errors[0]

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(SECONDS)

    async def start(self):
        raise NotImplementedError

    async def stop(self):
        raise NotImplementedError


class Session:
    """One connection, as the script sees it."""

    def __init__(self, server, socket, number):
        self.server, self.socket, self.number = server, socket, number
        self.hello = None

    @property
    def headers(self):
        return self.socket.request_headers

    async def send(self, message):
        await self.socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    async def receive(self, kind):
        """The next message of this type. Pings are answered on the way; any other type is an error."""
        while True:
            message = json.loads(await asyncio.wait_for(self.socket.recv(), SECONDS))
            self.server.received.append((self.number, message))
            if message["type"] == kind:
                return message
            if message["type"] == "ping":
                await self.send({"type": "pong"})
            else:
                raise AssertionError(f"{kind} was due, this came: {message}")

    async def welcome(self, at=0, head=None, epoch=EPOCH, **fields):
        """Takes hello and answers it; the back-off that it asks for is so short that tests need not wait."""
        self.hello = await self.receive("hello")
        await self.send({"type": "welcome", "session": f"s{self.number}", "mailbox": "ada@example.com",
                         "cursor": cursor(at, epoch), "head": at if head is None else head, "window": 32,
                         "heartbeat_seconds": 25, "server_time": PUBLISHED_AT,
                         "reconnect": {"min_ms": 1, "max_ms": 20}, "features": [], **fields})
        return self.hello

    async def live(self, seq, epoch=EPOCH):
        await self.send({"type": "live", "cursor": cursor(seq, epoch)})

    async def acked(self, until):
        """Takes acks until one for seq `until`, and confirms that. Returns all of them."""
        acks = []
        while not acks or int(acks[-1]["cursor"].split(".")[1]) < until:
            acks.append(await self.receive("ack"))
        await self.send({"type": "acked", "cursor": acks[-1]["cursor"]})
        return acks

    async def wait(self, event):
        """Until the test says so, by a threading.Event."""
        assert await asyncio.get_running_loop().run_in_executor(None, event.wait, SECONDS)

    async def goodbye(self, reason, code, after_ms=1):
        await self.send({"type": "goodbye", "reason": reason, "reconnect_after_ms": after_ms})
        await self.close(code, reason)

    async def close(self, code, reason=""):
        await self.socket.close(code, reason)

    async def break_off(self):
        self.socket.transport.abort()

    async def closed_by_client(self):
        """The code that the client closes with."""
        await asyncio.wait_for(self.socket.wait_closed(), SECONDS)
        return self.socket.close_code


class FakeServer(Loop):
    """`scripts`: one coroutine function (session) for each connection in turn; the last serves all further ones."""

    def __init__(self, context, *scripts, host="127.0.0.1", name="localhost"):
        super().__init__()
        self.context, self.scripts, self.host, self.name = context, scripts, host, name
        self.received = []  # (number of the connection, message)
        self.connections = 0
        self.server = None
        self.port = None
        self.done = [threading.Event() for _ in scripts]  # the script of this connection came to its end

    @property
    def url(self):
        return f"wss://{self.name}:{self.port}"

    def messages(self, kind, number=None):
        return [message for n, message in self.received if message["type"] == kind and number in (None, n)]

    async def _serve(self, socket):
        number = self.connections
        self.connections += 1
        script = min(number, len(self.scripts) - 1)
        try:
            await self.scripts[script](Session(self, socket, number))
        except websockets.ConnectionClosed as error:
            self.errors.append(AssertionError(f"connection {number} ended in the middle of its script: {error}"))
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)
            if not socket.closed:
                socket.transport.abort()
        finally:
            self.done[script].set()

    async def start(self):
        self.server = await websockets.serve(self._serve, self.host, 0, ssl=self.context, subprotocols=["slotbell.v1"],
                                             ping_interval=None, close_timeout=5, compression=None)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self):
        self.server.close()
        await self.server.wait_closed()


class Answer(Loop):
    """Answers whatever comes over TLS with the same bytes of HTTP: what stands in front of a server."""

    def __init__(self, context, text):
        super().__init__()
        self.context, self.text = context, text
        self.server = None
        self.port = None

    @property
    def url(self):
        return f"wss://localhost:{self.port}"

    async def _serve(self, reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.text.replace("\n", "\r\n").encode())
            await writer.drain()
            writer.close()
        except (OSError, EOFError):
            pass

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self):
        self.server.close()
        await self.server.wait_closed()


class Proxy(Loop):
    """An HTTP proxy that knows nothing but CONNECT, and to loopback only."""

    def __init__(self, login=None, silence=None):
        super().__init__()
        self.login = login  # "user:password", or None
        self.silence = silence  # cuts a tunnel through which nothing came for so many seconds
        self.asked = []  # "HOST:PORT"
        self.cuts = 0  # for silence
        self.server = None
        self.port = None

    async def _pump(self, reader, writer, patience):
        try:
            while data := await reader.read(65536):
                if patience:
                    patience.reschedule(asyncio.get_running_loop().time() + self.silence)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def _tunnel(self, near, far):
        """Two (reader, writer). Ends with either, or after silence: then without a word, as firewalls do it."""
        try:
            async with asyncio.timeout(self.silence) as patience:
                watched = patience if self.silence else None
                await asyncio.gather(self._pump(near[0], far[1], watched), self._pump(far[0], near[1], watched))
        except TimeoutError:
            self.cuts += 1
            for _, writer in (near, far):
                writer.transport.abort()

    def _is_known(self, head):
        if self.login is None:
            return True
        right = "basic " + base64.b64encode(self.login.encode()).decode()
        given = [line.partition(":")[2].strip() for line in head if line.lower().startswith("proxy-authorization:")]
        return [word.split()[1:] for word in given] == [right.split()[1:]]

    async def _serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _version = head[0].split()
        self.asked.append(target)
        if method != "CONNECT" or not self._is_known(head):
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()
            return
        far = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._tunnel((reader, writer), far)

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self):
        self.server.close()
        await self.server.wait_closed()
