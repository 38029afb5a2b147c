"""A detached Ed25519 signature of a report, with a key that the person has; other programs can check it as well.

The signature is the 64 bytes of RFC 8032 over the file as it is: `openssl pkeyutl -verify -rawin` reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import bytes_of, keeping

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ENDING = ".sig"
MAKE = "Make one with `openssl genpkey -algorithm ed25519 -out key.pem`."


def sign(file: Path, key: Path, *, password: Callable[[], str] | None = None) -> Path:
    """Sign a file and write the signature beside it, `FILE.sig`; returns that.

    key: a private Ed25519 key, PEM. password: asked where the key is encrypted. Raises Img2TabError where the package
    `cryptography` is absent, the key is no such key or its password is wrong, or a file cannot be read or written.
    """
    private = _private(key, password)
    signature = file.with_name(file.name + ENDING)
    with keeping(signature) as part:
        part.write_bytes(private.sign(bytes_of(file, "Name a report.")))
    return signature


def is_signed_by(file: Path, signature: Path, public_key: Path) -> bool:
    """Whether the signature is one of this very file with the private half of this key, PEM.

    Raises Img2TabError where the package `cryptography` is absent, or a file cannot be read or is something else.
    """
    serialization, ed25519 = _cryptography()
    from cryptography.exceptions import InvalidSignature

    try:
        public = serialization.load_pem_public_key(bytes_of(public_key, "Name a public key."))
    except ValueError as error:
        raise Img2TabError(
            f"{public_key} is no public key in PEM: `openssl pkey -in key.pem -pubout` gives one."
        ) from error
    if not isinstance(public, ed25519.Ed25519PublicKey):
        raise Img2TabError(f"{public_key} must be an Ed25519 key, got another kind. {MAKE}")
    try:
        public.verify(bytes_of(signature, "Name a signature."), bytes_of(file, "Name a report."))
    except InvalidSignature:
        return False
    return True


def _private(key: Path, password: Callable[[], str] | None) -> Ed25519PrivateKey:
    serialization, ed25519 = _cryptography()
    content = bytes_of(key, "Name a private key.")
    try:
        try:
            private = serialization.load_pem_private_key(content, None)
        except TypeError:  # so it says that the key is encrypted
            if password is None:
                raise Img2TabError(f"{key} is encrypted: its password is needed.") from None
            private = serialization.load_pem_private_key(content, password().encode())
    except ValueError as error:
        raise Img2TabError(f"{key} is no private key in PEM, or its password is another. {MAKE}") from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise Img2TabError(f"{key} must be an Ed25519 key, got another kind. {MAKE}")
    return private


def _cryptography() -> tuple[Any, Any]:
    """The two modules that are needed, or the sentence that says how to get them."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise Img2TabError(
            "Signing needs the package cryptography, which is not installed. Run `pip install -e .[sign]` in the "
            "project's folder."
        ) from error
    return serialization, ed25519
