"""Signatures with a key of one's own; nothing here asks a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle_kit import Made
from tiny_run import edgewright

from pipeline.bundle import signature
from pipeline.bundle.signature import sign, signature_of, verify_signature
from pipeline.errors import CorruptFile, UnavailableError, UsageError


@pytest.fixture
def signed(bundle: Path) -> Path:
    pytest.importorskip("model_signing", reason="model-signing is not installed")
    sign(bundle, key_pair(bundle.parent, "ours"))
    return bundle


def key_pair(folder: Path, name: str) -> Path:
    """A new key as PEM files; the private one."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / f"{name}.pem"
    path.write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public = private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return path


def test_a_signed_bundle_verifies(signed: Path) -> None:
    assert signature_of(signed) == signed.parent / "bundle.sig"
    said = edgewright("verify", signed, "--key", signed.parent / "ours.pub")
    assert said.exit_code == 0, said.stderr
    assert "bundle.sig: signed by the holder of ours.pub" in said.stdout


@pytest.mark.parametrize("name", ["model.onnx", "SHA256SUMS", "golden/expected.json"])
def test_a_changed_byte_does_not(signed: Path, name: str) -> None:
    content = bytearray((signed / name).read_bytes())
    content[len(content) // 2] ^= 1
    (signed / name).write_bytes(content)
    with pytest.raises(CorruptFile, match=r"bundle\.sig does not vouch"):
        verify_signature(signed, signed.parent / "ours.pub")


def test_a_missing_or_added_file_does_not(signed: Path) -> None:
    (signed / "added.txt").write_text("")
    with pytest.raises(CorruptFile, match="does not vouch"):
        verify_signature(signed, signed.parent / "ours.pub")
    (signed / "added.txt").unlink()
    (signed / "labels.txt").unlink()
    with pytest.raises(CorruptFile, match="does not vouch"):
        verify_signature(signed, signed.parent / "ours.pub")


def test_another_key_does_not(signed: Path) -> None:
    key_pair(signed.parent, "theirs")
    with pytest.raises(CorruptFile, match="does not vouch"):
        verify_signature(signed, signed.parent / "theirs.pub")


def test_a_damaged_signature_does_not(signed: Path) -> None:
    signature_of(signed).write_text("{}")
    with pytest.raises(CorruptFile, match="does not vouch"):
        verify_signature(signed, signed.parent / "ours.pub")


def test_keys_that_are_none_are_refused(signed: Path, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no key")
    with pytest.raises(UsageError, match=r"no\.pem cannot sign"):
        sign(signed, tmp_path / "no.pem")
    with pytest.raises(UsageError, match="is no public key"):
        verify_signature(signed, tmp_path / "no.pem")
    with pytest.raises(UsageError, match="is no public key"):
        verify_signature(signed, tmp_path / "nowhere.pem")


def test_an_unsigned_bundle_says_so(bundle: Path) -> None:
    pytest.importorskip("model_signing", reason="model-signing is not installed")
    with pytest.raises(UsageError, match=r"bundle\.sig is missing"):
        verify_signature(bundle, bundle / "any.pub")


def test_without_the_package_the_extra_is_named(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "PACKAGE", "no_such_package")
    with pytest.raises(UnavailableError) as raised:
        sign(made.folder, made.folder / "key.pem")
    assert raised.value.fix == "pip install 'edgewright[sign]'"
