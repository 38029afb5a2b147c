"""Content credentials: pictures signed with a certificate made for the test, read back, and every change noticed."""

from __future__ import annotations

import base64
import io
import json
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from PIL import Image
from typer.testing import CliRunner

from dashboard.components import pictures
from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import main
from img2tab_core.cli.doctor import examine
from img2tab_core.faces import credentials, marks
from img2tab_core.reports import page

KINDS = ("PNG", "WEBP", "JPEG")
ROOT = Path(__file__).resolve().parents[1]
SHEET = ROOT / "assets" / "concepts" / "mobilestylegan-ffhq" / "skin-lighter.webp"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a test certificate."""
    folder = tmp_path_factory.mktemp("made") / "certificate"
    credentials.make_test_certificate(folder)
    return folder


@pytest.fixture
def signing(made, monkeypatch) -> Path:
    """The same, and pictures are signed with it."""
    monkeypatch.setenv(credentials.CERTIFICATE, str(made / "chain.pem"))
    monkeypatch.setenv(credentials.KEY, str(made / "key.pem"))
    return made


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["drawn", "mixed"])
def test_3_kinds_of_file_are_signed_keep_their_pixels_and_mark_and_give_back_who_what_and_how(
    signing, picture, monkeypatch, kind, source
):
    data = marks.encoded(picture, kind, "Hair: long +3.0 SD", source=source, label=None)
    root = (signing / "root.pem").read_bytes()
    read, trusted = credentials.read(data, kind), credentials.read(data, kind, root)
    assert read == credentials.Credentials(
        "Test signer of Img2Tab Studio, only a test", True, False, (), marks.TERMS[source], "Hair: long +3.0 SD"
    )
    assert trusted.trusted and trusted.holds and "that you trust" in trusted.sentence
    assert "unchanged since" in read.sentence and "nobody vouches" in read.sentence
    monkeypatch.delenv(credentials.CERTIFICATE)
    monkeypatch.delenv(credentials.KEY)
    plain = marks.encoded(picture, kind, "Hair: long +3.0 SD", source=source, label=None)
    assert credentials.read(plain, kind) is None and len(data) - len(plain) < 5_000
    assert marks.read(data) == marks.read(plain)
    assert np.array_equal(*(np.asarray(Image.open(io.BytesIO(each))) for each in (data, plain)))


@pytest.mark.parametrize("kind", KINDS)
def test_any_of_40_changed_bytes_outside_the_credentials_is_noticed(signing, picture, kind):
    data = marks.encoded(picture, kind, "moved")
    box = data.find(credentials.BOX)
    size = int.from_bytes(data[box - 12 : box - 8])  # of the box that this one is in
    outside = [at for at in range(12, len(data)) if not box - 40 <= at < box + size + 80]
    for at in outside[:: len(outside) // 40]:
        changed = bytearray(data)
        changed[at] ^= 1
        read = credentials.read(bytes(changed), kind)
        assert not read.holds and read.reasons and not read.trusted, at
    assert "changed after it was signed" in read.sentence


def test_a_changed_word_of_the_claim_is_noticed_and_cut_credentials_are_none(signing, picture):
    data = marks.encoded(picture, "PNG", "moved by 3")
    at = data.rindex(b"trainedAlgorithmicMedia")
    assert not credentials.read(data[:at] + b"T" + data[at + 1 :], "PNG").holds
    kept = io.BytesIO()
    Image.open(io.BytesIO(data)).save(kept, "PNG")  # another program, which knows nothing of them
    assert credentials.read(kept.getvalue(), "PNG") is None


def test_a_signed_file_names_no_folder_no_person_and_no_moment_and_is_made_without_a_network(signing, tmp_path):
    out = tmp_path / "out.png"
    code = (
        "import sys; from PIL import Image; from img2tab_core.faces import marks, credentials\n"
        "marks.save(Image.new('RGB', (32, 32)), sys.argv[1], 'PNG', 'moved')\n"
        "assert credentials.read(open(sys.argv[1], 'rb').read(), 'PNG').holds"
    )
    command = [sys.executable, "-c", code, str(out)]
    alone = ["unshare", "--net"]  # where root may, in a namespace that has no network at all
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        alone = []
    subprocess.run([*alone, *command], cwd=ROOT, check=True, timeout=60)
    data = out.read_bytes()
    assert str(signing).encode() not in data and str(Path.home()).encode() not in data
    import c2pa

    about = c2pa.Reader("image/png", io.BytesIO(data)).get_active_manifest()
    assert "time" not in about["signature_info"]  # nobody was asked for a time stamp
    assert [action["action"] for action in about["assertions"][0]["data"]["actions"]] == ["c2pa.created", "c2pa.edited"]
    assert about["claim_generator_info"][0]["name"] == "Img2Tab Studio"


# --- the certificate ------------------------------------------------------------------------------------


def test_the_test_certificate_holds_for_openssl_its_key_is_the_owners_alone_and_is_not_written_over(made):
    assert stat.S_IMODE((made / "key.pem").stat().st_mode) == 0o600
    with pytest.raises(Img2TabError, match=r"chain\.pem is there already and stays as it is"):
        credentials.make_test_certificate(made)
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    words = ["openssl", "verify", "-purpose", "smimesign", "-CAfile", made / "root.pem", made / "chain.pem"]
    assert subprocess.run(words, capture_output=True, text=True).stdout.endswith("chain.pem: OK\n")


def test_6_mistakes_of_certificate_and_key_are_1_sentence_each(signing, tmp_path, picture, monkeypatch):
    def sentence(*, chain: Path = signing / "chain.pem", key: Path | None = signing / "key.pem") -> str:
        monkeypatch.setenv(credentials.CERTIFICATE, str(chain))
        monkeypatch.setenv(credentials.KEY, str(key) if key else "")
        with pytest.raises(Img2TabError) as caught:
            marks.encoded(picture, "PNG", "moved")
        return str(caught.value)

    credentials.make_test_certificate(tmp_path / "other")
    assert "must both name a file" in sentence(key=None)
    assert "cannot be read (No such file" in sentence(chain=tmp_path / "none.pem")
    assert "got something else" in sentence(chain=signing / "key.pem")
    assert "is not that of the first certificate" in sentence(key=tmp_path / "other" / "key.pem")
    private = serialization.load_pem_private_key((signing / "key.pem").read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"word")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    (tmp_path / "locked.pem").write_bytes(private.private_bytes(*form))
    assert "is encrypted" in sentence(key=tmp_path / "locked.pem")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Its own issuer")])
    begun = datetime.now(UTC) - timedelta(days=9)
    own = x509.CertificateBuilder(name, name, private.public_key(), 1).not_valid_before(begun)
    for days, expected in ((1, "was valid until"), (30, "could not be signed with")):
        ended = own.not_valid_after(begun + timedelta(days=days)).sign(private, hashes.SHA256())
        (tmp_path / "own.pem").write_bytes(ended.public_bytes(serialization.Encoding.PEM))
        assert expected in sentence(chain=tmp_path / "own.pem")


def test_without_the_package_a_signed_picture_and_the_wish_to_sign_name_the_command_that_installs_it(
    signing, picture, monkeypatch
):
    data = marks.encoded(picture, "PNG", "moved")
    monkeypatch.setitem(sys.modules, "c2pa", None)
    for ask in (lambda: marks.encoded(picture, "PNG", "moved"), lambda: credentials.read(data, "PNG")):
        with pytest.raises(Img2TabError, match=r"pip install -e \.\[c2pa\]"):
            ask()


# --- where pictures leave -------------------------------------------------------------------------------


def test_downloads_of_a_page_and_both_kinds_of_pictures_of_a_report_are_signed(signing, picture):
    pixels = np.asarray(picture)
    assert credentials.read(pictures.png(pixels, "Hair +3.0 SD"), "PNG").what == "Hair +3.0 SD"
    for shown in (pixels, SHEET.read_bytes()):
        inside = base64.b64decode(page.picture(shown).partition(",")[2])
        assert credentials.read(inside, "WEBP").holds and marks.read(inside).what == "in a report"


@pytest.mark.parametrize("way", ["a shipped sheet", "lossless with an alpha", "an extended header"])
def test_a_webp_file_is_marked_without_a_changed_pixel_in_under_600_bytes_and_only_once(way, picture):
    kept = io.BytesIO()
    if way == "lossless with an alpha":
        Image.merge("RGBA", (*picture.split(), picture.convert("L"))).save(kept, "WEBP", lossless=True, exact=True)
    else:
        picture.save(kept, "WEBP", icc_profile=b"profile")
    before = SHEET.read_bytes() if way == "a shipped sheet" else kept.getvalue()
    after = marks.marked(before, "in a report")
    assert marks.read(before) is None and marks.read(after) == marks.Mark(
        marks.TERMS["drawn"], marks.TOOL, "in a report"
    )
    first, second = (Image.open(io.BytesIO(data)) for data in (before, after))
    assert first.mode == second.mode and np.array_equal(np.asarray(first), np.asarray(second))
    assert len(after) - len(before) < 600 and int.from_bytes(after[4:8], "little") == len(after) - 8
    assert marks.marked(after, "again") == after and marks.marked(b"no picture", "x") == b"no picture"


def test_the_terminal_makes_a_certificate_reads_a_signed_picture_and_ends_with_1_for_a_changed_one(
    tmp_path, picture, monkeypatch
):
    def typed(*words: object):
        return CliRunner().invoke(main.app, list(map(str, words)))

    folder = tmp_path / "certificate"
    assert f"{credentials.KEY}={folder / 'key.pem'}" in typed("test-certificate", folder).stdout
    monkeypatch.setenv(credentials.CERTIFICATE, str(folder / "chain.pem"))
    monkeypatch.setenv(credentials.KEY, str(folder / "key.pem"))
    marks.save(picture, tmp_path / "a.webp", "WEBP", "moved")
    done = typed("provenance", tmp_path / "a.webp", "--trust", folder / "root.pem")
    assert done.exit_code == 0 and done.stdout.startswith(f"{tmp_path / 'a.webp'}: Drawn by a generator, with Img2Tab")
    assert "Signed (C2PA) by Test signer of Img2Tab Studio, only a test and unchanged since, by a" in done.stdout
    data = bytearray((tmp_path / "a.webp").read_bytes())
    data[len(data) // 8] ^= 1
    (tmp_path / "b.webp").write_bytes(data)
    done = typed("provenance", tmp_path / "a.webp", tmp_path / "b.webp", "--json")
    assert done.exit_code == 1
    assert [each["credentials"]["holds"] for each in json.loads(done.stdout)["pictures"]] == [True, False]
    assert (
        "does NOT hold: the picture was changed after it was signed" in typed("provenance", tmp_path / "b.webp").stdout
    )
    (line,) = [check for check in examine() if check["what"] == "Content credentials"]
    assert line["ok"] and line["found"] == "pictures are signed"
    (folder / "key.pem").unlink()
    (line,) = [check for check in examine() if check["what"] == "Content credentials"]
    assert not line["ok"] and "key.pem cannot be read" in line["mend"]
