"""TLS 1.3 with key updates (RFC 8446 section 4.6.3), which Python's ssl module cannot send: libssl itself, over bytes in memory."""

import ctypes
import ctypes.util
import socket

WANT_READ = 2
NOT_REQUESTED, REQUESTED = 0, 1  # whether the peer is to update its own keys, too


def _library(name, **functions):
    library = ctypes.CDLL(ctypes.util.find_library(name))
    for function, (result, *arguments) in functions.items():
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    return library


P, I, S = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
SSL = _library("ssl", TLS_client_method=(P,), SSL_CTX_new=(P, P), SSL_new=(P, P), SSL_set_bio=(None, P, P, P), SSL_free=(None, P),
               SSL_CTX_free=(None, P), SSL_connect=(I, P), SSL_get_error=(I, P, I), SSL_key_update=(I, P, I), SSL_do_handshake=(I, P),
               SSL_write=(I, P, S, I), SSL_read=(I, P, S, I))  # fmt: skip
CRYPTO = _library("crypto", BIO_new=(P, P), BIO_s_mem=(P,), BIO_read=(I, P, S, I), BIO_write=(I, P, S, I))


class Updating:
    """One connection. `with Updating(daemon) as connection`. It does not check the certificate."""

    def __init__(self, daemon, seconds=20):
        self.socket = socket.create_connection((daemon.address, daemon.port), seconds)
        self.context = SSL.SSL_CTX_new(SSL.TLS_client_method())
        self.ssl = SSL.SSL_new(self.context)
        self.received, self.made = CRYPTO.BIO_new(CRYPTO.BIO_s_mem()), CRYPTO.BIO_new(CRYPTO.BIO_s_mem())
        SSL.SSL_set_bio(self.ssl, self.received, self.made)

    def __enter__(self):
        while (result := SSL.SSL_connect(self.ssl)) != 1:
            assert SSL.SSL_get_error(self.ssl, result) == WANT_READ
            self.socket.sendall(self._records())
            self._receive()
        self.socket.sendall(self._records())
        return self

    def __exit__(self, *_):
        self.socket.close()
        SSL.SSL_free(self.ssl)
        SSL.SSL_CTX_free(self.context)

    def _records(self):
        """What TLS has made since it was asked last, ready for the socket."""
        buffer, found = ctypes.create_string_buffer(65536), b""
        while (size := CRYPTO.BIO_read(self.made, buffer, len(buffer))) > 0:
            found += buffer.raw[:size]
        return found

    def _receive(self):
        data = self.socket.recv(65536)
        CRYPTO.BIO_write(self.received, data, len(data))
        return len(data)

    def updates(self, count, request=NOT_REQUESTED):
        """So many key updates, as bytes for the socket."""
        for _ in range(count):
            assert SSL.SSL_key_update(self.ssl, request) == 1 and SSL.SSL_do_handshake(self.ssl) == 1
        return self._records()

    def data(self, data):
        """These bytes in a record, for the socket."""
        assert SSL.SSL_write(self.ssl, data, len(data)) == len(data)
        return self._records()

    def read(self):
        """What comes next, deciphered; b"" at the end."""
        buffer = ctypes.create_string_buffer(65536)
        while (size := SSL.SSL_read(self.ssl, buffer, len(buffer))) <= 0:
            if SSL.SSL_get_error(self.ssl, size) != WANT_READ or not self._receive():
                return b""
        return buffer.raw[:size]
