"""The evidence of a report: what was changed is named, what is not here is not claimed, a signature is Ed25519's."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from datetime import date

import numpy as np
import pytest
from typer.testing import CliRunner

from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.metric_choice import choose_metric
from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import main
from img2tab_core.reports import evidence, signatures
from img2tab_core.reports.accountability_chapters import CROSSWALK, WHERE
from img2tab_core.reports.report import CHAPTERS, write_report
from img2tab_core.sessions.bias_scenarios import Scenario
from img2tab_core.sessions.session_runs import SessionRuns
from img2tab_core.studio import Studio

EVIL = "</template><script>alert(1)</script>"
PARTS = ("page", "evidence", "table", "weights", "model", "code", "log", "runs", "notes", "record")


@pytest.fixture(scope="module")
def made(toy_home, tmp_path_factory):
    """(the runs, the session, the report) of a visitor's folder with a table `toy`; the session has a bias record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(toy_home(400, 12, kind=2.0, group_from=8)))
        patch.delenv("IMG2TAB_DATABASE", raising=False)
        runs = SessionRuns(Auditor(Studio()))
        begun = runs.begin(f"First look {EVIL}"[:80], "Ada", runs.studio.table("toy"), "kind", ["group", "odd"], EVIL)
        scenario = Scenario("left ones", EVIL, "a customer", "equalised_odds", 0.9, "", date(2999, 1, 1))
        runs.sessions.add_scenario(begun, scenario, who="Bob")
        answers = {"labels": "yes", "class": "helps", "rates": "yes", "errors": "alarm", "used": "decisions"}
        runs.sessions.choose_metric(begun, choose_metric(answers))
        written = write_report(runs, begun, tmp_path_factory.mktemp("out") / "look.html", who="Eve")
        yield runs, runs.sessions.open(begun.id), written.html


def states(file, store=None) -> dict[str, str]:
    return {part.part: part.state for part in evidence.verify(file, store)}


def test_a_report_just_written_agrees_in_all_9_parts_but_the_weights_that_are_not_here(made):
    _, _, file = made
    assert states(file) == dict.fromkeys(PARTS, "agrees") | {"weights": "not here"}
    inside = evidence.evidence_in(file.read_bytes(), file)
    assert inside["who"] == "Eve" and inside["parts"]["table"]["key"] == "toy-key"
    assert set(inside["parts"]["table"]["files"]) == {"labels.parquet", "psi.npy", "stats.npz", "table.json"}


def test_one_letter_changed_in_the_page_is_found_and_so_is_a_digest_changed_with_it(made, tmp_path):
    _, _, file = made
    text = file.read_text(encoding="utf-8")
    other = tmp_path / "other.html"
    other.write_text(text.replace("Who is selected", "Who is elected"), encoding="utf-8")
    assert states(other)["page"] == "differs" and states(other)["evidence"] == "agrees"
    other.write_text(text.replace("toy-key", "toi-key"), encoding="utf-8")
    assert states(other)["page"] == states(other)["evidence"] == "differs"
    other.write_text(re.sub(r' data-page="\w+"', "", text), encoding="utf-8")
    assert states(other)["page"] == "differs"


def test_what_people_typed_neither_ends_the_evidence_nor_runs(made):
    _, session, file = made
    text = file.read_text(encoding="utf-8")
    assert "<script" not in text and text.count("<template") == text.count("</template>") == 1
    assert evidence.evidence_in(text.encode(), file)["parts"]["session"]["name"] == session.name


def test_notes_record_and_log_that_went_on_are_told_apart_from_a_log_that_was_changed(made, tmp_path):
    runs, session, file = made
    runs.sessions.set_notes(session, "other words")
    runs.sessions.remove_scenario(session, 1)
    after = {part.part: part for part in evidence.verify(file)}
    assert (after["notes"].state, after["record"].state) == ("differs", "differs")
    assert after["log"].state == "agrees" and "2 more were added since" in after["log"].sentence
    changed = tmp_path / "changed.html"
    text = file.read_text(encoding="utf-8")
    digest = evidence.evidence_in(file.read_bytes(), file)["parts"]["session"]["log"]["digest"]
    changed.write_text(text.replace(digest, "0" * 63 + "1"), encoding="utf-8")
    assert states(changed)["log"] == "differs"


def test_on_another_machine_table_model_and_session_are_not_here_and_nothing_differs(made, tmp_path, monkeypatch):
    _, _, file = made
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "elsewhere"))
    assert states(file) == dict.fromkeys(PARTS, "not here") | dict.fromkeys(("page", "evidence", "code"), "agrees")


def test_a_label_a_model_or_a_source_file_that_changed_is_named(made, tmp_path, monkeypatch, toy_home):
    _, _, file = made
    inside = evidence.evidence_in(file.read_bytes(), file)
    home = tmp_path / "home"
    shutil.copytree(evidence.home(), home)
    monkeypatch.setenv("IMG2TAB_HOME", str(home))
    model = next((home / "runs" / inside["parts"]["model"]["run"]).glob("*.json"))
    model.write_text("{}")
    (home / "tables" / "toy" / "labels.parquet").write_bytes(b"other")
    with np.load(home / "tables" / "toy" / "stats.npz") as kept:  # test faces that were training faces
        np.savez(home / "tables" / "toy" / "stats.npz", **{name: kept[name][::-1] for name in kept})
    monkeypatch.setattr(evidence, "code_digest", lambda: "0" * 64)
    parts = {part.part: part for part in evidence.verify(file)}
    assert [parts[name].state for name in ("table", "model", "code")] == ["differs"] * 3
    assert "labels.parquet, stats.npz" in parts["table"].sentence and model.name in parts["model"].sentence


def test_the_code_digest_is_that_of_the_package_and_changes_with_a_letter_of_its_source(tmp_path, monkeypatch):
    (tmp_path / "img2tab_core").mkdir()
    monkeypatch.setattr(evidence, "ROOT", tmp_path)
    source = tmp_path / "img2tab_core" / "a.py"
    source.write_text("x = 1\n")
    first = evidence.code_digest()
    source.write_text("x = 2\n")
    assert evidence.code_digest() != first
    source.write_text("x = 1\n")
    assert evidence.code_digest() == first


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<p>hello</p>", "carries no evidence: it is no report of a session"),
        ('<template id="report-evidence">{"format": 2, "parts": {}}</template>', "of another version than this one"),
    ],
)
def test_a_file_without_evidence_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "x.html").write_text(text)
    with pytest.raises(Img2TabError, match=sentence):
        evidence.verify(tmp_path / "x.html")
    with pytest.raises(Img2TabError, match="cannot be read"):
        evidence.verify(tmp_path / "none.html")


# --- the chapters --------------------------------------------------------------------------------------


def test_the_report_tells_scenario_metric_who_is_selected_who_made_it_and_the_crosswalk(made):
    runs, session, file = made
    text = html.unescape(re.sub(r"<[^>]+>", " ", file.read_text(encoding="utf-8"))).replace("\N{NO-BREAK SPACE}", " ")
    words = " ".join(text.split())
    measured = runs.auditor.impact_ratios(runs.model(session, runs.sessions.run(session, 1)), "group", "odd")
    assert len(measured.tables) == 3
    for table in measured.tables:
        assert table.sentence("special").replace("\N{NO-BREAK SPACE}", " ") in words
    assert "left ones" in words and "in the words of a customer" in words and "at most 90 points" in words
    assert "Cannot be told: only " in words and "Within what is acceptable" not in words  # 60 test faces in 4 groups
    assert "False positive rate by group: how often somebody who does not belong" in words
    assert "Giving the class to nobody closes the gap" in words or "giving the class to nobody closes the gap" in words
    assert "Report made by Eve" in words and "This is no legal advice" in words


def test_every_chapter_that_the_crosswalk_points_to_is_one_of_the_report():
    chapters = {name for name, _ in CHAPTERS}
    named = {name for _, topics in CROSSWALK for _, where, _ in topics for name in where}
    assert named <= set(WHERE) <= chapters and len(CROSSWALK) == 3


# --- signatures ----------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path):
    """A private and a public Ed25519 key, PEM."""
    pytest.importorskip("cryptography", reason="signatures need `pip install -e .[sign]`")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    locked = serialization.BestAvailableEncryption(b"secret")
    for name, lock in (("key.pem", serialization.NoEncryption()), ("locked.pem", locked)):
        (tmp_path / name).write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock))
    public = private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    return tmp_path


def test_a_signature_is_of_these_bytes_and_this_key_alone_and_openssl_says_the_same(keys):
    file = keys / "report.html"
    file.write_bytes(b"<p>report</p>")
    signature = signatures.sign(file, keys / "key.pem")
    assert signature.name == "report.html.sig" and len(signature.read_bytes()) == 64
    assert signatures.is_signed_by(file, signature, keys / "public.pem")
    locked = signatures.sign(file, keys / "locked.pem", password=lambda: "secret")
    assert locked.read_bytes() == signature.read_bytes()  # RFC 8032: no random number in it
    if shutil.which("openssl"):
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys / "public.pem", "-rawin"]
        done = subprocess.run([*command, "-in", file, "-sigfile", signature], capture_output=True, text=True)
        assert "Verified Successfully" in done.stdout, done.stderr
    file.write_bytes(b"<p>Report</p>")
    assert not signatures.is_signed_by(file, signature, keys / "public.pem")


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("none.pem", "cannot be read"),
        ("public.pem", "is no private key in PEM"),
        ("locked.pem", "is encrypted: its password is needed"),
    ],
)
def test_a_key_that_cannot_sign_is_a_sentence(keys, key, sentence):
    (keys / "report.html").write_text("x")
    with pytest.raises(Img2TabError, match=sentence):
        signatures.sign(keys / "report.html", keys / key)
    with pytest.raises(Img2TabError, match="is no public key in PEM"):
        signatures.is_signed_by(keys / "report.html", keys / "report.html", keys / "key.pem")


def test_without_cryptography_signing_says_what_to_install(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(Img2TabError, match=r"pip install -e \.\[sign\]"):
        signatures.sign(tmp_path / "x.html", tmp_path / "key.pem")


def test_the_terminal_signs_a_report_verifies_it_and_ends_with_1_where_something_differs(made, keys):
    _, _, file = made
    copy = keys / "copy.html"
    shutil.copy(file, copy)

    def run(*words):
        return CliRunner().invoke(main.app, ["report", *map(str, words)])

    assert "Signed: " in run("sign", copy, "--key", keys / "key.pem").stdout
    assert "in place of the signature" in run("sign", copy, "--key", keys / "key.pem").stdout
    for words, sentence in (
        (("sign", keys / "key.pem", "--key", keys / "key.pem"), "carries no evidence"),
        (("verify", copy, "--signature", copy), "name --public-key"),
    ):
        refused = run(*words)
        assert refused.exit_code == 1 and sentence in refused.stderr
    with_key = json.loads(run("verify", copy, "--public-key", keys / "public.pem", "--json").stdout)
    assert {part["part"]: part["state"] for part in with_key["parts"]}["signature"] == "agrees"
    unsigned = run("verify", copy)
    assert "signature: Who stands for it is not checked" in unsigned.stdout
    copy.write_bytes(copy.read_bytes().replace(b"Who is selected", b"Who is elected"))
    changed = run("verify", copy, "--public-key", keys / "public.pem")
    assert changed.exit_code == 1
    assert "DIFFERS  page: " in changed.stdout and "DIFFERS  signature: " in changed.stdout


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts["model"].update(run=".."),
        lambda parts: parts["table"].update(name="/etc"),
        lambda parts: parts["table"].pop("files"),
        lambda parts: parts.update(session=[]),
    ],
)
def test_evidence_that_names_other_folders_or_lacks_a_part_is_refused_in_a_sentence(made, tmp_path, change):
    _, _, file = made
    inside = evidence.evidence_in(file.read_bytes(), file)
    change(inside["parts"])
    forged = tmp_path / "forged.html"
    text = re.sub(
        r"(<template[^>]*>).*(</template>)", lambda m: m[1] + html.escape(json.dumps(inside)) + m[2], file.read_text()
    )
    forged.write_text(text)
    assert text != file.read_text()
    with pytest.raises(Img2TabError, match="not what a report carries"):
        evidence.verify(forged)
