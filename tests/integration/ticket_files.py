"""Sessions as openssl s_client keeps them, opened and closed again with another ticket in them.

And tickets as the daemon makes them, with a key of its file: name, IV, ciphertext, MAC (RFC 5077 section 4).
"""

import base64
import hashlib
import hmac
import os
import subprocess

TIME, TICKET = 0xA1, 0xAA  # the fields of OpenSSL's SSL_SESSION that matter here
IV_BYTES, MAC_BYTES = 16, 32


def _read(der, at):
    """One element: tag, content, and where the next begins."""
    tag, length, at = der[at], der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(der[at:at + count], "big"), at + count
    return tag, der[at:at + length], at + length


def _write(tag, content):
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _fields(der):
    _, sequence, _ = _read(der, 0)
    at, found = 0, []
    while at < len(sequence):
        tag, content, at = _read(sequence, at)
        found.append((tag, content))
    return found


def _replaced(der, tag, content):
    return _write(0x30, b"".join(_write(t, content if t == tag else c) for t, c in _fields(der)))


class Session:
    """A file of `openssl s_client -sess_out`."""

    def __init__(self, path):
        self.head, *lines, self.tail = path.read_text().splitlines()
        self.der = base64.b64decode("".join(lines))
        self.ticket = _read(dict(_fields(self.der))[TICKET], 0)[1]

    def write(self, path, ticket):
        """The same session, and this ticket."""
        text = base64.b64encode(_replaced(self.der, TICKET, _write(0x04, ticket))).decode()
        path.write_text("\n".join([self.head, *(text[i:i + 64] for i in range(0, len(text), 64)), self.tail, ""]))
        return path


def _cipher(direction, key, iv, data):
    return subprocess.run(["openssl", "enc", direction, "-aes-256-cbc", "-K", key.hex(), "-iv", iv.hex()],
                          input=data, capture_output=True, check=True).stdout  # fmt: skip


def older(ticket, key, seconds):
    """The ticket that the daemon would have made so long ago. key: the 80 bytes of its file."""
    name, encrypt, authenticate = key[:16], key[16:48], key[48:]
    assert ticket[:16] == name
    body = ticket[:-MAC_BYTES]
    assert hmac.digest(authenticate, body, hashlib.sha256) == ticket[-MAC_BYTES:]
    plain = _cipher("-d", encrypt, body[16:16 + IV_BYTES], body[16 + IV_BYTES:])
    made = int.from_bytes(_read(dict(_fields(plain))[TIME], 0)[1], "big")
    then = made - seconds
    plain = _replaced(plain, TIME, _write(0x02, then.to_bytes(then.bit_length() // 8 + 1, "big")))
    iv = os.urandom(IV_BYTES)
    body = name + iv + _cipher("-e", encrypt, iv, plain)
    return body + hmac.digest(authenticate, body, hashlib.sha256)
