"""Certificates for tests, made by OpenSSL: an authority, and what it signs; and signed tokens."""

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.brokers.jars import MissingError

_CURVE: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Pair(NamedTuple):
    """The files of a certificate and of its key (PEM)."""

    certificate: Path
    key: Path


class Authority:
    """Its certificate is `certificate`. Raises `MissingError` without OpenSSL."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            raise MissingError("the certificates need openssl, which is not on this machine")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate, self._key = folder / "ca.pem", folder / "ca.key"
        self.renew()

    def renew(self) -> None:
        """Become another authority, in the same files."""
        _openssl("req", "-x509", *_CURVE, "-nodes", "-days", "30", "-subj", "/CN=authority", *_out(self._pair))

    def issue(self, name: str, subject: str, *, hosts: str = "", days: int = 30, passphrase: str = "") -> Pair:
        """Sign a certificate and write it to files of this name. `hosts`: as OpenSSL writes them. `days`: -1 for one
        that has expired."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        locked = ["-passout", f"pass:{passphrase}"] if passphrase else ["-nodes"]
        _openssl("req", "-utf8", *_CURVE, *locked, "-subj", subject, "-keyout", str(pair.key), "-out", str(request))
        extensions.write_text(f"subjectAltName={hosts}\n" if hosts else "basicConstraints=CA:FALSE\n")
        by = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-set_serial", str(time.time_ns())]
        files = ["-in", str(request), "-out", str(pair.certificate), "-extfile", str(extensions)]
        _openssl("x509", "-req", *files, *by, "-days", str(days))
        return pair

    @property
    def _pair(self) -> Pair:
        return Pair(self.certificate, self._key)


class Issuer:
    """Signs tokens. `keys`: the file with the public key, as a broker reads it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = folder / "issuer.key"
        self.keys = folder / "keys.json"
        _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(self._key))
        shown = _openssl("rsa", "-in", str(self._key), "-noout", "-modulus").decode()
        found = re.search(r"Modulus=([0-9A-F]+)", shown)
        assert found is not None, shown
        key = {"kty": "RSA", "kid": "k", "alg": "RS256", "use": "sig", "n": _text(bytes.fromhex(found[1])), "e": "AQAB"}
        self.keys.write_text(json.dumps({"keys": [key]}))

    def token(self, subject: str, seconds: int = 3600) -> str:
        """A token that expires so many seconds from now."""
        now = int(time.time())
        claims = {"sub": subject, "iss": "issuer", "aud": "kafka", "scope": "kafka"}
        signed = ".".join(
            _text(json.dumps(part).encode())
            for part in ({"alg": "RS256", "kid": "k"}, {**claims, "iat": min(now, now + seconds), "exp": now + seconds})
        )
        file = self._folder / "signed"
        file.write_text(signed)
        return f"{signed}.{_text(_openssl('dgst', '-sha256', '-sign', str(self._key), str(file)))}"

    def settings(self) -> Mapping[str, str]:
        """Server properties of a broker that accepts its tokens."""
        return {
            "sasl.oauthbearer.jwks.endpoint.url": self.keys.as_uri(),
            "sasl.oauthbearer.expected.audience": "kafka",
            "sasl.oauthbearer.expected.issuer": "issuer",
        }


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _out(pair: Pair) -> list[str]:
    return ["-keyout", str(pair.key), "-out", str(pair.certificate)]


def _openssl(*arguments: str) -> bytes:
    done = subprocess.run(["openssl", *arguments], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
