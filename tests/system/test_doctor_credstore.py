"""What another user of the host tries at root who runs slotbellctl."""

PASSWORD = "sesame-of-the-service"

# A server that asks for the password in the clear, and writes down what it is told.
SERVER = """
import socket, struct
server = socket.create_server(("127.0.0.1", 5999))
while True:
    client = server.accept()[0]
    client.settimeout(5)
    try:
        client.recv(8192)
        client.sendall(b"R" + struct.pack(">II", 8, 3))
        with open("/tmp/heard", "ab") as file:
            file.write(client.recv(8192))
    except OSError:
        pass
    client.close()
"""


def test_doctor_gives_the_password_of_the_service_to_no_host_that_another_user_names(host):
    """root looks at a file of that user's, and no daemon answers."""
    box = host.box
    box.write("/etc/credstore/slotbell.database-password", PASSWORD, 0o600, "root:root")
    box.write("/tmp/server.py", SERVER)
    box.run(["install", "-d", "-o", "nobody", "/tmp/nobodys"])
    box.write("/tmp/nobodys/slotbelld.conf", "[database]\nurl = postgresql://slotbell@127.0.0.1:5999/x?sslmode=disable&gssencmode=disable\n"
              "[tls]\ncertificate = /etc/slotbell/tls/server.pem\nkey = /etc/slotbell/tls/server.key\n", 0o644, "nobody:nogroup")  # fmt: skip
    box.run("systemd-run --unit=listening --uid=nobody /usr/bin/python3 /tmp/server.py")
    try:
        box.wait(lambda: box.result("ss -ltn | grep -q :5999").returncode == 0, "it listens")
        box.result("slotbellctl doctor --config /tmp/nobodys/slotbelld.conf")
        assert PASSWORD not in box.run("cat /tmp/heard", check=False)
        box.run("chown root /tmp/nobodys/slotbelld.conf")
        box.result("slotbellctl doctor --config /tmp/nobodys/slotbelld.conf")
        assert PASSWORD in box.run("cat /tmp/heard"), "this test shows nothing"
    finally:
        box.run("systemctl stop listening; rm -rf /tmp/nobodys /tmp/server.py /tmp/heard", check=False)
