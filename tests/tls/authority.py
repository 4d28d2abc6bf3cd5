"""A certificate authority for tests: certificates of servers and of clients, good and bad."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_numbers = itertools.count(1)
DAY = datetime.timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as files and as numbers."""

    certificate: Path
    key: Path
    serial: int

    def install(self, at: Issued) -> None:
        """Takes the place of another one, each file at once, as a renewal does it."""
        for source, target in ((self.key, at.key), (self.certificate, at.certificate)):
            beside = target.with_suffix(".new")
            beside.write_bytes(source.read_bytes())
            beside.rename(target)

    def copy(self, folder: Path) -> Issued:
        """The same certificate in files of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        copied = Issued(folder / "cert.pem", folder / "key.pem", self.serial)
        self.install(copied)
        return copied


class Authority:
    """Signs what it is asked to; `certificate` is the file that who trusts it has."""

    def __init__(self, folder: Path, name: str):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = folder / "ca.pem"
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        root = (
            self._builder(self.name, self.key, (-2, 100))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .add_extension(usage, True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
            .sign(self.key, hashes.SHA256())
        )
        self.certificate.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: Key, days: tuple[float, float]) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
        )

    def issue(
        self,
        name: str,
        *,
        names: tuple[str, ...] | None = None,
        days: tuple[float, float] = (-1, 30),
        client: bool = False,
        rsa_key: bool = False,
        password: bytes | None = None,
    ) -> Issued:
        """A certificate for a common name and its alternative names: hosts, addresses, `mailto:` and other URIs."""
        key: Key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        if names is None:
            names = () if client else (name, "127.0.0.1")
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            self._builder(subject, key, days)
            .add_extension(x509.ExtendedKeyUsage([purpose]), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), False)
        signed = builder.sign(self.key, hashes.SHA256())
        folder = self.folder / str(next(_numbers))
        folder.mkdir()
        issued = Issued(folder / "cert.pem", folder / "key.pem", signed.serial_number)
        issued.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        issued.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, lock))
        return issued


def _general(name: str) -> x509.GeneralName:
    if name.startswith("mailto:"):
        return x509.RFC822Name(name.removeprefix("mailto:"))
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
