"""A public key infrastructure for development: a CA and certificates whose CN is the name and
whose OU is the role (common/PROTOCOL.md, section 1). Keys are ECDSA P-256.

Not for production: the CA's private key lies unencrypted beside what it signs. README.md says
how to use certificates of one's own.
"""
import argparse
import datetime
import ipaddress
import os
import re
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROLES = {"device": "ota-device", "manager": "ota-manager", "console": "ota-console"}
DAY = datetime.timedelta(days=1)


def _now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def _name(cn, ou=None):
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, cn)]
    if ou:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, ou))
    return x509.Name(parts)


def _write(path, content, mode=0o644):
    """Whole or not at all; a private key is never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    part.replace(path)


def _key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Authority:
    """A CA, kept in `<stem>.crt`, `<stem>.key` and its revocations in `crl.pem`."""

    def __init__(self, directory, stem="ca", cn="mosquitto-ota development CA", days=3650):
        self.directory = Path(directory)
        self.certificate_path = self.directory / f"{stem}.crt"
        self.key_path = self.directory / f"{stem}.key"
        self.crl_path = self.directory / ("crl.pem" if stem == "ca" else f"{stem}-crl.pem")
        if self.certificate_path.exists():
            self.key = serialization.load_pem_private_key(self.key_path.read_bytes(), None)
            self.certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
            return
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._self_signed(cn, days)
        _write(self.key_path, _key_pem(self.key), 0o600)
        self.revoke([])
        _write(self.certificate_path,
               self.certificate.public_bytes(serialization.Encoding.PEM))

    def _self_signed(self, cn, days):
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        return (x509.CertificateBuilder()
                .subject_name(_name(cn)).issuer_name(_name(cn))
                .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(_now() - DAY).not_valid_after(_now() + days * DAY)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(usage, critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()),
                               critical=False)
                .sign(self.key, hashes.SHA256()))

    def issue(self, path, cn, ou=None, hosts=None, days=825, expired=False):
        """Writes `path`.crt and `path`.key unless they are there; returns the stem's path.
        With hosts it is a server's certificate, else a client's."""
        path = Path(path)
        certificate_path, key_path = Path(f"{path}.crt"), Path(f"{path}.key")
        if certificate_path.exists() and key_path.exists():
            return path
        key = ec.generate_private_key(ec.SECP256R1())
        start, end = _now() - DAY, _now() + days * DAY
        if expired:
            start, end = _now() - 10 * DAY, _now() - DAY
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        builder = (x509.CertificateBuilder()
                   .subject_name(_name(cn, ou)).issuer_name(self.certificate.subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(start).not_valid_after(end)
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(usage, critical=True)
                   .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                       self.key.public_key()), critical=False))
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative(h) for h in hosts]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        _write(key_path, _key_pem(key), 0o600)
        _write(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def revoke(self, certificate_paths, days=365):
        """Writes the revocation list anew with these certificates added. A broker reads it at
        start and on SIGHUP."""
        serials = set()
        if self.crl_path.exists():
            old = x509.load_pem_x509_crl(self.crl_path.read_bytes())
            serials = {entry.serial_number for entry in old}
        for path in certificate_paths:
            certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
            serials.add(certificate.serial_number)
        builder = (x509.CertificateRevocationListBuilder()
                   .issuer_name(self.certificate.subject)
                   .last_update(_now() - DAY).next_update(_now() + days * DAY))
        for serial in sorted(serials):
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial)
                .revocation_date(_now()).build())
        crl = builder.sign(self.key, hashes.SHA256())
        _write(self.crl_path, crl.public_bytes(serialization.Encoding.PEM))


def _alternative(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Pki:
    """The directory that `dev-pki` makes. `device("d1")` and its like make what is missing and
    return the path without its ending: `.crt` and `.key` are there."""

    LOCAL = ("localhost", "127.0.0.1", "::1")

    def __init__(self, directory, hosts=(), days=825):
        self.directory = Path(directory)
        self.days = days
        self.authority = Authority(self.directory, days=max(3650, days))
        self.ca = self.authority.certificate_path
        self.crl = self.authority.crl_path
        hosts = list(dict.fromkeys([*self.LOCAL, *hosts]))
        self.broker = self.authority.issue(self.directory / "broker", hosts[0], hosts=hosts,
                                           days=days)

    def client(self, role, name, ou=None):
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name) or name in (".", ".."):
            raise ValueError(f"'{name}' is no name: 1 to 64 of A-Z a-z 0-9 . _ -")
        return self.authority.issue(self.directory / role / name, name, ou or ROLES[role],
                                    days=self.days)

    def device(self, name):
        return self.client("device", name)

    def manager(self, name):
        return self.client("manager", name)

    def console(self, name):
        return self.client("console", name)

    def revoke(self, role, name):
        self.authority.revoke([f"{self.client(role, name)}.crt"])

    def bad(self):
        """Certificates that must be refused, for tests: name → path without its ending."""
        bad = self.directory / "bad"
        other = Authority(bad, "other-ca", "another CA")
        local = list(self.LOCAL)
        made = {"other-ca": bad / "other-ca"}
        for who, issue in (("", self.authority.issue), ("-other-ca", other.issue)):
            made[f"broker{who or '-expired'}"] = issue(
                bad / f"broker{who or '-expired'}", "localhost", hosts=local, expired=not who)
            made[f"device{who or '-expired'}"] = issue(
                bad / f"device{who or '-expired'}", "d1", ROLES["device"], expired=not who)
        made["broker-wrong-host"] = self.authority.issue(
            bad / "broker-wrong-host", "elsewhere.invalid", hosts=["elsewhere.invalid"])
        made["device-no-role"] = self.authority.issue(bad / "device-no-role", "norole")
        made["device-odd-role"] = self.authority.issue(bad / "device-odd-role", "oddrole", "root")
        made["device-odd-name"] = self.authority.issue(bad / "device-odd-name", "#",
                                                       ROLES["device"])
        return made


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="dev-pki", description="Makes a development PKI in DIR, or adds to the one there.")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--devices", type=int, default=0, metavar="N",
                        help="device certificates d1 … dN")
    for role in ROLES:
        parser.add_argument(f"--{role}", action="append", default=[], metavar="NAME",
                            help=f"a certificate with OU={ROLES[role]}; may be repeated")
    parser.add_argument("--host", action="append", default=[], metavar="HOST",
                        help="one more name or address of the broker (localhost is always one)")
    parser.add_argument("--days", type=int, default=825, help="validity (default 825)")
    parser.add_argument("--revoke", action="append", default=[], metavar="ROLE/NAME",
                        help="put this certificate on the revocation list")
    parser.add_argument("--bad", action="store_true",
                        help="also make certificates that must be refused, for tests")
    options = parser.parse_args(arguments)
    pki = Pki(options.directory, options.host, options.days)
    try:
        make(pki, options)
    except ValueError as error:
        parser.error(str(error))
    count = sum(1 for _ in pki.directory.glob("*/*.crt"))
    print(f"{pki.directory}: CA {pki.ca.name}, broker.crt, {pki.crl.name}, {count} clients")
    return 0


def make(pki, options):
    for number in range(1, options.devices + 1):
        pki.device(f"d{number}")
    for role in ROLES:
        for name in getattr(options, role):
            pki.client(role, name)
    for which in options.revoke:
        role, _, name = which.partition("/")
        if role not in ROLES or not (pki.directory / role / f"{name}.crt").exists():
            raise ValueError(f"--revoke {which}: there is no such certificate (ROLE/NAME)")
        pki.revoke(role, name)
    if options.bad:
        pki.bad()


if __name__ == "__main__":
    sys.exit(main())
