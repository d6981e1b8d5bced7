"""Everything a broker with TLS and users needs, made up: for trials and tests, and as a pattern for what an operator provides.

    python -m pipeline.local.credentials FOLDER [NAME...]     NAME: host names and addresses of the broker

The folder is what deploy/activemq/activemq-secure.xml calls rs.credentials; besides, for the clients, ca.pem and a file in passwords/ for
each user. Nothing that is there already is made anew, but for the certificate of the broker if asked to.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import secrets
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Groups are those of the authorization map; the simulator is all senders at once.
USERS: Mapping[str, tuple[str, ...]] = {
    "admin": ("admins",),
    "bridge": ("bridges",),
    "rm-1": ("rm",),
    "mcp-1": ("mcp",),
    "ccp-1": ("ccp",),
    "simulator": ("rm", "mcp", "ccp"),
}
LOCAL = ("localhost", "127.0.0.1")
VALID = dt.timedelta(days=365)


class Authority:
    """A certificate authority that lives in a folder: ca.pem and ca.key."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ca.pem"
        key_file = folder / "ca.key"
        if self.file.exists():
            self.certificate = x509.load_pem_x509_certificate(self.file.read_bytes())
            loaded = serialization.load_pem_private_key(key_file.read_bytes(), None)
            if not isinstance(loaded, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{key_file} is not a key that was made here")
            self.key = loaded
            return
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Reporting Server trial authority")
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
            key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        self.certificate = (
            _begun(name, name, self.key.public_key(), dt.datetime.now(dt.UTC), 10 * VALID)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        _write(key_file, _pem(self.key))
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, names: Iterable[str], begin: dt.datetime, valid: dt.timedelta) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """A server's key and certificate for these host names and addresses."""
        key, names = ec.generate_private_key(ec.SECP256R1()), list(names)
        certificate = (
            _begun(_name(names[0]), self.certificate.subject, key.public_key(), begin, valid)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return key, certificate


def make(folder: Path, names: Iterable[str] = LOCAL) -> None:
    """What is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "broker.p12").exists():
        certify(folder, names)
    passwords = folder / "passwords"
    passwords.mkdir(mode=0o700, exist_ok=True)
    for user in USERS:
        if not (passwords / user).exists():
            _write(passwords / user, f"{secrets.token_urlsafe(24)}\n".encode())
    said = {user: (passwords / user).read_text().strip() for user in USERS}
    groups: dict[str, list[str]] = {}
    for user, its in USERS.items():
        for group in its:
            groups.setdefault(group, []).append(user)
    _write(folder / "users.properties", "".join(f"{user}={password}\n" for user, password in said.items()).encode())
    _write(folder / "groups.properties", "".join(f"{group}={','.join(users)}\n" for group, users in groups.items()).encode())


def certify(
    folder: Path, names: Iterable[str], *, begin: dt.datetime | None = None, valid: dt.timedelta = VALID, authority: Authority | None = None
) -> None:
    """A new key and certificate for the broker, which it takes at its next start."""
    authority = authority or Authority(folder)
    key, certificate = authority.issue(names, begin or dt.datetime.now(dt.UTC), valid)
    password = secrets.token_urlsafe(24)
    keystore = pkcs12.serialize_key_and_certificates(
        b"broker", key, certificate, [authority.certificate], serialization.BestAvailableEncryption(password.encode())
    )
    _write(folder / "broker.p12", keystore)
    _write(folder / "broker.properties", f"rs.keystore.password={password}\n".encode())


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: dt.datetime, valid: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - dt.timedelta(minutes=5))  # clocks differ
        .not_valid_after(begin + valid)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write(file: Path, content: bytes) -> None:
    """For nobody else to read, at any moment."""
    beside = file.with_name(file.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
    beside.replace(file)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m pipeline.local.credentials FOLDER [NAME...]")
    make(Path(sys.argv[1]), sys.argv[2:] or LOCAL)
