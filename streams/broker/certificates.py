"""PEM files for trials of TLS: an authority of our own, the server's certificate for loopback names, and a client's."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Certificates:
    folder: Path
    mutual: bool = False  # the server asks for the client's certificate too

    @property
    def ca_pem(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def server_pem(self) -> Path:
        """Kafka's key store: the key first, as PKCS#8, then the certificate."""
        return self.folder / "server.pem"

    @property
    def client_cert(self) -> Path:
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        return self.folder / "client.key"


def make_certificates(
    folder: Path, *, mutual: bool = False, host: str = "127.0.0.1", valid: datetime.timedelta = VALID
) -> Certificates:
    """A negative `valid` makes certificates that have expired, for tests of what is said then."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder, mutual)
    authority_key, server_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    name = _name("bcl trial authority")
    authority = (
        _builder(name, name, authority_key, abs(valid))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    names: list[x509.GeneralName] = [_general_name(host)]
    if host == "127.0.0.1":
        names += [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("::1"))]
    server, client = (
        _builder(_name(common), name, key, valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
        for common, key, usage, alternatives in (
            ("bcl trial broker", server_key, ExtendedKeyUsageOID.SERVER_AUTH, names),
            ("bcl trial client", client_key, ExtendedKeyUsageOID.CLIENT_AUTH, [x509.DNSName("bcl-client")]),
        )
    )
    made.ca_pem.write_bytes(_pem(authority))
    made.server_pem.touch(mode=0o600)
    made.server_pem.write_bytes(_pem_key(server_key) + _pem(server))
    made.client_cert.write_bytes(_pem(client))
    made.client_key.touch(mode=0o600)
    made.client_key.write_bytes(_pem_key(client_key))
    return made


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, valid: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1) - abs(valid))
        .not_valid_after(now + valid)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
