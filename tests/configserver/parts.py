"""A real etcd, and an operator who edits."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.local.ports import free_port
from tests.conftest import PATIENCE_S


class EtcdNode:
    """An etcd of one's own; `more`: further arguments. kill() is kill -9, start() goes on with its data."""

    def __init__(self, home: Path, *more: str, tls: Tls | None = None) -> None:
        if shutil.which("etcd") is None or shutil.which("etcdctl") is None:
            pytest.skip("NOT TESTED: a real etcd is needed (Debian: etcd-server, etcd-client)")
        home.mkdir(parents=True, exist_ok=True)
        self.home, self.port, self._peer_port = home, free_port(), free_port()
        self.tls = tls
        self.user = ""
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def setting(self) -> str:
        return f"{'etcds' if self.tls else 'etcd'}://127.0.0.1:{self.port}"

    def start(self) -> EtcdNode:
        peer = f"http://127.0.0.1:{self._peer_port}"
        command = [
            "etcd", "--name", "own", "--data-dir", str(self.home / "data"),
            "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"own={peer}", *self._more,
        ]  # fmt: skip
        if self.tls:
            command += ["--cert-file", str(self.tls.server_cert), "--key-file", str(self.tls.server_key), "--client-cert-auth"]
            command += ["--trusted-ca-file", str(self.tls.ca)]
        with (self.home / "out.log").open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        end = time.monotonic() + PATIENCE_S
        while self._ctl("endpoint", "health").returncode:
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(f"etcd did not get ready:\n{(self.home / 'out.log').read_text()[-2000:]}")
            time.sleep(0.1)
        return self

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def ctl(self, *words: str) -> str:
        done = self._ctl(*words)
        if done.returncode:
            raise RuntimeError(f"etcdctl {words}: {done.stdout}{done.stderr}")
        return done.stdout

    def _ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["etcdctl", "--endpoints", self.url, "--dial-timeout", "2s", "--command-timeout", "5s"]
        if self.tls:
            command += ["--cacert", str(self.tls.ca), "--cert", str(self.tls.client_cert), "--key", str(self.tls.client_key)]
        if self.user:
            command += ["--user", self.user]
        environment = {"ETCDCTL_API": "3", "PATH": "/usr/sbin:/usr/bin:/bin"}
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False, env=environment, timeout=60)

    def put(self, key: str, value: str) -> None:
        self.ctl("put", "--", key, value)

    def delete(self, key: str) -> None:
        self.ctl("del", key)

    def with_users(self, **passwords: str) -> None:
        """Switch authentication on; root's password is `root`, each of the others may read and write below /rs/."""
        self.ctl("user", "add", "root:root")
        self.ctl("user", "grant-role", "root", "root")
        self.ctl("role", "add", "rs")
        self.ctl("role", "grant-permission", "rs", "readwrite", "/rs/", "--prefix")
        for name, password in passwords.items():
            self.ctl("user", "add", f"{name}:{password}")
            self.ctl("user", "grant-role", name, "rs")
        self.ctl("auth", "enable")
        self.user = "root:root"


class Tls:
    """An authority, a server certificate for 127.0.0.1 and a client certificate; `other_ca` vouches for nobody."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        ca_key, ca = _authority("ca")
        _, other = _authority("other")
        self.ca, self.other_ca = home / "ca.pem", home / "other.pem"
        self.ca.write_bytes(_pem(ca))
        self.other_ca.write_bytes(_pem(other))
        self.server_cert, self.server_key = _issued(home, "server", ca_key, ca)
        self.client_cert, self.client_key = _issued(home, "client", ca_key, ca)


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = _begun(subject, subject, key).add_extension(x509.BasicConstraints(True, None), True).add_extension(usage, True)
    return key, made.sign(key, hashes.SHA256())


def _issued(home: Path, name: str, ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    # No CommonName: etcd's JSON gateway takes no certificate with one when users have passwords, too.
    made = _begun(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)]), ca.subject, key)
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False)
    cert, private = home / f"{name}.pem", home / f"{name}.key"
    cert.write_bytes(_pem(made.sign(ca_key, hashes.SHA256())))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )
    return cert, private


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
