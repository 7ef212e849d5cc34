"""A broker whose certificate nobody vouches for is not spoken to, unless that is asked for."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).parents[2]
_CONNECT = """
import workers
with workers.app.connection_for_write() as connection:
    connection.default_channel.client.ping()
"""


def _certificate(folder: Path) -> Path:
    """A certificate for localhost that is signed by itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return _certificate(tmp_path)


@pytest.fixture
def server(certificate: Path) -> Iterator[tuple[int, list[str]]]:
    """A port where something speaks TLS and hangs up, and how often that was agreed to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("localhost", 0))
    agreed: list[str] = []

    def serve() -> None:
        # Until the listener is closed, one at a time; those that go away are no matter.
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with contextlib.suppress(OSError), context.wrap_socket(plain, True) as spoken:
                    # Only what comes after the handshake tells that the other side wanted it.
                    if spoken.recv(1):
                        agreed.append(str(spoken.version()))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], agreed
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def _connect(url: str, home: Path) -> str:
    """What connecting there ends with: an error, for nothing there is Redis."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
    given = {
        "ATLAS_HOME": str(home),
        "ATLAS_REDIS_URL": url,
        "ATLAS_DATABASE_URL": "postgresql://x@127.0.0.1:9/x",
        "ATLAS_SECRET_KEY": "s" * 40,
    }
    done = subprocess.run(
        [sys.executable, "-c", _CONNECT],
        cwd=ROOT,
        env={**environ, **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    return done.stderr.rpartition("Error: ")[2]


def test_a_certificate_of_nobody_is_refused(server: tuple[int, list[str]], tmp_path: Path) -> None:
    port, agreed = server
    assert "certificate verify failed" in _connect(f"rediss://localhost:{port}/0", tmp_path)
    assert agreed == []


@pytest.mark.parametrize("query", ["ssl_ca_certs={}", "ssl_cert_reqs=none"])
def test_one_that_is_vouched_for_or_any_where_that_is_asked(
    server: tuple[int, list[str]], tmp_path: Path, certificate: Path, query: str
) -> None:
    port, agreed = server
    said = _connect(f"rediss://localhost:{port}/0?{query.format(certificate)}", tmp_path)
    assert "certificate" not in said
    assert agreed
