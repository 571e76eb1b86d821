"""Signatures of bundles with a key of one's own, by OpenSSF's ``model-signing``: who made it, beside what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import CorruptFile, UnavailableError, UsageError

PACKAGE = "model_signing"
SUFFIX = ".sig"


def signature_of(folder: Path) -> Path:
    """Where a folder's signature lies: beside it, as everything inside is signed."""
    resolved = folder.resolve()
    return resolved.with_name(f"{resolved.name}{SUFFIX}")


def sign(folder: Path, private_key: Path) -> Path:
    """Sign every file of a bundle, offline.

    Args:
        private_key: PEM of an elliptic curve key (``openssl ecparam -name prime256v1 -genkey -noout``), not encrypted.

    Returns:
        the signature's file, a Sigstore bundle.

    Raises:
        UnavailableError: model-signing is not installed.
        UsageError: the key cannot be used.
    """
    signing = _package("signing")
    target = signature_of(folder)
    try:
        signing.Config().use_elliptic_key_signer(private_key=private_key).sign(folder, target)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{private_key} cannot sign: {_first_line(error)}", "give a PEM file of an EC key") from None
    return target


def verify_signature(folder: Path, public_key: Path) -> str:
    """Check that the holder of the key signed exactly these files.

    Returns:
        one line that says so.

    Raises:
        UnavailableError: model-signing is not installed.
        UsageError: there is no signature, or the key cannot be used.
        CorruptFile: a file or the signature is another one, or was signed with another key.
    """
    verifying = _package("verifying")
    signature = signature_of(folder)
    if not signature.is_file():
        raise UsageError(f"{signature} is missing", "put the signature beside the folder")
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{public_key} is no public key: {_first_line(error)}", "give a PEM file") from None
    try:
        config.verify(folder, signature)
    except Exception as error:  # a damaged signature makes its parsers raise anything
        cause = f"{signature} does not vouch for {folder} with this key: {_first_line(error)}"
        raise CorruptFile(cause, "get both from who made them") from None
    return f"{signature.name}: signed by the holder of {public_key.name}"


def _package(part: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"{PACKAGE}.{part}")
    except ImportError:
        raise UnavailableError("model-signing is not installed", "pip install 'edgewright[sign]'") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
