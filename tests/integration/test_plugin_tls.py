"""Whom slotbell-plugin trusts: a certificate that is not good for this server gets no token, no hello, nothing."""

import ssl

import pytest
from fake_server import FakeServer

pytest_plugins = ["fixtures_plugin"]


async def welcomes(session):
    await session.welcome(0)
    await session.live(0)
    await session.close(1000, "bye")


@pytest.fixture
def assert_refused(start):
    def check(server, words, ca=None, **environment):
        with server:
            plugin = start(server)
            plugin.ca = ca or plugin.ca
            with plugin.run(**environment) as running:
                closed = running.wait_for("closed")
                assert closed["code"] == 1006 and words in closed["reason"], closed
                running.wait_for("waiting")  # it may be mended
                assert running.stop() == 0
            assert server.connections == 0
        assert words in running.words

    return check


@pytest.fixture
def assert_taken(start):
    def check(server, system=False, **environment):
        with server:
            plugin = start(server)
            plugin.ca = None if system else plugin.ca
            with plugin.run("--once", **environment) as running:
                assert running.end() == 0, running.words
            assert server.connections == 1

    return check


@pytest.mark.parametrize("name,how,words", [
    ("other-name", {"san": "DNS:other.example.com,IP:127.0.0.1"}, "hostname mismatch"),
    ("only-common-name", {"san": "DNS:localhost.example.com"}, "hostname mismatch"),  # its CN is localhost
    ("expired", {"days": -1}, "certificate has expired"),
    ("unknown-ca", {"authority": "other-ca"}, "unable to get local issuer certificate"),
])
def test_a_certificate_that_is_not_good_is_refused(assert_refused, fake_ca, name, how, words):
    assert_refused(FakeServer(fake_ca.server(name, **how), welcomes), words)


def test_an_address_must_be_in_the_certificate_too(assert_refused, fake_ca):
    context = fake_ca.server("no-address", san="DNS:localhost,IP:192.0.2.7")
    assert_refused(FakeServer(context, welcomes, name="127.0.0.1"), "IP address mismatch")


def test_a_self_signed_one_is_refused(assert_refused, fake_ca):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    fake_ca.server("any", authority="self")
    context.load_cert_chain(fake_ca.folder / "self.pem", fake_ca.folder / "self.key")
    assert_refused(FakeServer(context, welcomes), "self-signed certificate")


@pytest.mark.parametrize("host,name", [("127.0.0.1", "localhost"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_good_one_is_taken_by_name_and_by_address(assert_taken, context, host, name):
    assert_taken(FakeServer(context, welcomes, host=host, name=name))


def test_without_ca_the_system_s_authorities_count(assert_taken, context, fake_ca):
    assert_taken(FakeServer(context, welcomes), system=True, SSL_CERT_FILE=str(fake_ca.ca))


def test_with_ca_the_system_s_authorities_do_not_count(assert_refused, context, fake_ca):
    fake_ca.server("elsewhere", authority="third-ca")
    assert_refused(FakeServer(context, welcomes), "unable to get local issuer certificate",
                   ca=fake_ca.folder / "third-ca.pem", SSL_CERT_FILE=str(fake_ca.ca))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(assert_taken, fake_ca, version):
    context = fake_ca.server(version.name)
    context.minimum_version = context.maximum_version = version
    assert_taken(FakeServer(context, welcomes))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_1_1_is_not(assert_refused, fake_ca):
    context = fake_ca.server("old")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert_refused(FakeServer(context, welcomes), "no TLS with the server")


def test_a_port_that_speaks_no_tls_is_named(assert_refused):
    assert_refused(FakeServer(None, welcomes), "no TLS with the server: wrong version number")
