"""A certification authority of one's own, for certificates of any age and name; config/dev-ca.sh makes the usual ones."""

import subprocess


def issued(folder, names="DNS:localhost,IP:127.0.0.1", start=None, end=None, days=30, chain=False):
    """A certificate by an authority of its own, good from `start` to `end` (YYYYMMDDHHMMSSZ): the folder of both."""
    folder.mkdir()
    run = lambda *words: subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)  # noqa: E731
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\n"
        "[any]\ncommonName = optional\n[server]\nbasicConstraints = CA:FALSE\nextendedKeyUsage = serverAuth\n"
        + (f"subjectAltName = {names}\n" if names else "")
    )
    (folder / "index").touch()
    (folder / "serial").write_text("01\n")
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
        "-days", "3650", "-subj", "/CN=Own authority")  # fmt: skip
    run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out",
        "server.csr", "-subj", "/CN=localhost")  # fmt: skip
    times = ["-startdate", start, "-enddate", end] if start else ["-days", str(days)]
    run("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", "server.csr", "-out", "server.pem",
        "-notext", "-extensions", "server", *times)  # fmt: skip
    return folder
