"""Content credentials: a drawn picture signed in the form of C2PA, and what the credentials of a picture say.

A picture is signed where two environment variables name a certificate and its key. Nothing is asked of a network, so a
signature says who signed and what, not when: there is no time stamp, and nobody is asked whether the certificate was
called back. The form: C2PA 2.x, by the package c2pa-python of the Content Authenticity Initiative.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from img2tab_core import __version__
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import bytes_of, keeping

CERTIFICATE, KEY = "IMG2TAB_C2PA_CERT", "IMG2TAB_C2PA_KEY"  # environment variables: files, PEM
TRY = "`img2tab test-certificate DIR` makes one to try with."
MEDIA = {"PNG": "image/png", "WEBP": "image/webp", "JPEG": "image/jpeg"}
BOX = b"jumdc2pa"  # how the box with credentials begins in any of these files
UNTRUSTED = "signingCredential.untrusted"
REASONS = {  # of C2PA's codes those that a changed file gives, in words
    "assertion.dataHash.mismatch": "the picture was changed after it was signed",
    "assertion.hashedURI.mismatch": "what it says was changed after it was signed",
    "claimSignature.mismatch": "the signature is not one of these words",
    "signingCredential.expired": "the certificate was not valid when it signed",
    "claimSignature.outsideValidity": "the certificate was not valid when it signed",
}
TEST_DAYS = 365  # for which a test certificate is valid
_SETTINGS = {  # nothing is fetched, and no small picture is put beside the words
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class Credentials:
    """signer: the certificate's name and organisation; holds: whether the file is as it was signed; trusted: whether
    the certificate comes from one that was named as trusted; reasons: why it does not hold; source: the IPTC term;
    what: what was done."""

    signer: str
    holds: bool
    trusted: bool
    reasons: tuple[str, ...]
    source: str
    what: str

    @property
    def sentence(self) -> str:
        """In words."""
        if not self.holds:
            return f"Its signature (C2PA), of {self.signer}, does NOT hold: {'; '.join(self.reasons)}."
        known = (
            "by a certificate that you trust"
            if self.trusted
            else "by a certificate that nobody vouches for here: anybody can make one with any name (--trust ROOT.pem)"
        )
        return f"Signed (C2PA) by {self.signer} and unchanged since, {known}."

    @property
    def says(self) -> str:
        """What was signed, for where the picture says it in no other way."""
        return f"It says: {', '.join(filter(None, (self.source.rpartition('/')[2], self.what))) or 'nothing'}."

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self) | {"reasons": list(self.reasons), "sentence": self.sentence}


def wanted() -> bool:
    """Whether pictures are to be signed here."""
    return bool(os.environ.get(CERTIFICATE) or os.environ.get(KEY))


def signed(picture: bytes, kind: str, source: str, what: str) -> bytes:
    """A picture file with credentials; its pixels and what it says otherwise stay.

    kind: PNG, WEBP or JPEG; source: the IPTC term; what: what was done, "" for nothing. Raises Img2TabError where the
    package is absent, or certificate and key cannot be read, do not fit or may not sign.
    """
    c2pa = _c2pa()
    done: dict[str, Any] = {
        "digitalSourceType": source,
        "softwareAgent": {"name": "Img2Tab Studio", "version": __version__},
    }
    actions = [{"action": "c2pa.created", **done}]
    actions += [{"action": "c2pa.edited", **done, "description": what}] if what else []
    manifest = {
        "claim_generator_info": [{"name": "Img2Tab Studio", "version": __version__}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}],
    }
    made, signer = io.BytesIO(), _signer(c2pa)
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))
        c2pa.Builder(manifest, context=context).sign(signer, MEDIA[kind], io.BytesIO(picture), made)
    except c2pa.C2paError as error:
        raise Img2TabError(
            f"The picture could not be signed with {os.environ[CERTIFICATE]} ({error}). The certificate must be issued "
            f"by another one, for digital signatures of mail or documents. {TRY}"
        ) from error
    return made.getvalue()


def read(picture: bytes, kind: str, trust: bytes = b"") -> Credentials | None:
    """The credentials of a picture file, whoever signed it; None where it carries none.

    kind: PNG, WEBP or JPEG; trust: certificates, PEM, whose signers are known. What cannot be read does not hold.
    Raises Img2TabError where there are some and the package is absent.
    """
    if BOX not in picture:
        return None
    c2pa = _c2pa()
    settings = _SETTINGS | ({"trust": {"trust_anchors": trust.decode("ascii", "replace")}} if trust else {})
    try:
        reader = c2pa.Reader(MEDIA[kind], io.BytesIO(picture), context=c2pa.Context(c2pa.Settings.from_dict(settings)))
        made, results = json.loads(reader.json()), reader.get_validation_results() or {}
        about = made["manifests"][made["active_manifest"]]
    except (c2pa.C2paError, KeyError, ValueError) as error:
        return Credentials("somebody unknown", False, False, (f"it cannot be read ({error})",), "", "")
    failures = [failure["code"] for failure in results.get("activeManifest", {}).get("failure", ())]
    reasons = tuple(dict.fromkeys(REASONS.get(code, code) for code in failures if code != UNTRUSTED))
    signature = about.get("signature_info", {})
    actions = [
        action
        for assertion in about.get("assertions", ())
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"].get("actions", ())
    ]
    names = [signature[field] for field in ("common_name", "issuer") if signature.get(field)]
    return Credentials(
        " of ".join(names) or "somebody without a name",
        reader.get_validation_state() != "Invalid",
        reader.get_validation_state() == "Trusted",
        reasons or (("no reason is given",) if reader.get_validation_state() == "Invalid" else ()),
        next((action["digitalSourceType"] for action in actions if "digitalSourceType" in action), ""),
        "; ".join(action["description"] for action in actions if action.get("description")),
    )


def make_test_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """Write a certificate to try with: (chain.pem, key.pem, root.pem) in a folder that is made; valid for a year.

    root.pem is what `read` takes as trust. Raises Img2TabError where the package is absent, or a file is there or
    cannot be written: a key is never written over.
    """
    _c2pa()  # it brings cryptography
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    files = (folder / "chain.pem", folder / "key.pem", folder / "root.pem")
    for file in files:
        if file.exists():
            raise Img2TabError(f"{file} is there already and stays as it is. Name another folder.")
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in "12")
    root = _certificate("Test root", root_key, "Test root", root_key)
    leaf = _certificate("Test signer", key, "Test root", root_key)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for file, content in zip(files, (leaf + root, private, root), strict=True):
        with keeping(file) as part:
            part.touch(mode=0o600)
            part.write_bytes(content)
    return files


def _certificate(name: str, key: Any, issuer: str, issuer_key: Any) -> bytes:
    """A certificate, PEM, of a name for its key, by the issuer; its own issuer is one for issuing."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def called(name: str) -> x509.Name:
        words = ((NameOID.ORGANIZATION_NAME, "Img2Tab Studio, only a test"), (NameOID.COMMON_NAME, name))
        return x509.Name([x509.NameAttribute(oid, word) for oid, word in words])

    now, issues = datetime.now(UTC), name == issuer
    uses = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    uses |= dict.fromkeys(("encipher_only", "decipher_only"), False)
    made = (
        x509.CertificateBuilder(called(issuer), called(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a clock that is behind
        .not_valid_after(now + timedelta(days=TEST_DAYS))
        .add_extension(x509.BasicConstraints(issues, None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not issues, key_cert_sign=issues, crl_sign=issues, **uses), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not issues:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return made.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _signer(c2pa: Any) -> Any:
    """Certificate and key, checked against each other: c2pa-python's own sentences are for programmers."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    names = [os.environ.get(name) or "" for name in (CERTIFICATE, KEY)]
    if not all(names):
        raise Img2TabError(
            f"{CERTIFICATE} and {KEY} must both name a file in PEM, so that pictures are signed, or neither. {TRY}"
        )
    chain, private = (bytes_of(Path(name), f"{CERTIFICATE} and {KEY} name it.") for name in names)
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
        key = serialization.load_pem_private_key(private, None)
    except TypeError as error:  # so it says that the key is encrypted
        raise Img2TabError(f"{names[1]} is encrypted, and nobody is here to ask for its password.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Img2TabError(
            f"{CERTIFICATE} must name certificates and {KEY} a private key, both PEM, got something else in {names[0]} "
            f"or {names[1]}. {TRY}"
        ) from error
    if certificate.public_key() != key.public_key():
        raise Img2TabError(f"The key {names[1]} is not that of the first certificate in {names[0]}. {TRY}")
    if certificate.not_valid_after_utc < datetime.now(UTC):
        raise Img2TabError(
            f"The certificate {names[0]} was valid until {certificate.not_valid_after_utc:%Y-%m-%d}. Ask for a new one."
        )
    algorithms = c2pa.C2paSigningAlg
    if isinstance(key, ec.EllipticCurvePrivateKey):
        curves = {"secp256r1": algorithms.ES256, "secp384r1": algorithms.ES384, "secp521r1": algorithms.ES512}
        algorithm = curves.get(key.curve.name)
    else:
        kinds = ((rsa.RSAPrivateKey, algorithms.PS256), (ed25519.Ed25519PrivateKey, algorithms.ED25519))
        algorithm = next((kind for cls, kind in kinds if isinstance(key, cls)), None)
    if algorithm is None:
        raise Img2TabError(f"The key {names[1]} must be RSA, Ed25519 or on a curve P-256, P-384 or P-521. {TRY}")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key.private_bytes(*form), None))


def _c2pa() -> Any:
    """The package, or the sentence that says how to get it."""
    try:
        import c2pa
    except ImportError as error:
        raise Img2TabError(
            "Content credentials need the package c2pa-python, which is not installed. Run `pip install -e .[c2pa]` in "
            "the project's folder."
        ) from error
    return c2pa
