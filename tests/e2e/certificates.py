"""Certificate authorities for the tests, a server's certificate from one, and contexts of TLS.

All keys are of elliptic curves: mitmproxy takes a twentieth of a second to read one of RSA, and a start reads it twice.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make(folder: Path, *hosts: str) -> tuple[Path, ssl.SSLContext]:
    """The authority's certificate as a PEM file, and a server's TLS context for these hosts."""
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of the tests")])
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    root = (
        _builder(authority, authority, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        _builder(x509.Name([]), authority, server_key)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    root_file, server_file = folder / "authority.pem", folder / "server.pem"
    root_file.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    server_file.write_bytes(_text(server_key) + server.public_bytes(serialization.Encoding.PEM))
    return root_file, context(folder)


def proxys_authority(folder: Path) -> None:
    """Write what mitmproxy signs its certificates with into a folder, which it takes for its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mitmproxy")])
    signs = x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (folder / "mitmproxy-ca-cert.pem").write_bytes(made)
    (folder / "mitmproxy-ca.pem").write_bytes(_text(key) + made)


def trusting() -> ssl.SSLContext:
    """A client's context that trusts everybody, and reads no certificates for that."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    return found


def _text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def context(folder: Path) -> ssl.SSLContext:
    """Another context with the certificate that was made in a folder."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(folder / "server.pem")
    return found


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
