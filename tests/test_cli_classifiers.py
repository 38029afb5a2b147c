"""The verbs about kinds of classifier, and the published Img2Tab classifier with its channels' published names."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from img2tab_core import tables
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.classifiers import kinds, measures
from img2tab_core.cli import main
from img2tab_core.concepts import names
from img2tab_core.networks.stylegan2 import layout_of
from img2tab_core.studio import Studio

runner = CliRunner()
TOY = Target("odd", "Odd", ("even", "odd"), "by hand")
TALL = Target("tall", "Tall", ("short", "tall"), "by hand")


def run(*words):
    return runner.invoke(main.app, [str(word) for word in words])


def as_json(*words) -> dict:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Tables `toy` (200 faces x 60, channel 7 is the label) and `wide` (80 x 9,088, random codes)."""
    own = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        rng = np.random.default_rng(0)
        for name, count, layout in (("toy", 200, StyleLayout((60,))), ("wide", 80, layout_of(1024))):
            psi = rng.normal(size=(count, layout.total)).astype(np.float32)
            labels = pd.DataFrame({"odd": (psi[:, 7] > 0).astype(np.int8), "tall": (psi[:, 9] > 0).astype(np.int8)})
            tables.write_table(
                own / "tables" / name,
                lambda rows, psi=psi: psi[rows],
                labels,
                targets=[TOY, TALL],
                layout=layout,
                backbone="made-by-hand",
                key=name,
            )
        yield own


@pytest.fixture
def published(shared_reference):
    if kinds.absent("xgboost"):
        pytest.skip(kinds.absent("xgboost"))
    return shared_reference / "img2tab_gender_xgboost.json"


def test_compare_prints_1_line_for_each_of_2_classifiers_and_writes_csv_and_json(home, tmp_path):
    words = (
        "compare",
        "--table",
        "toy",
        "--target",
        "odd",
        "--classifiers",
        "logistic,forest",
        "--seeds",
        2,
        "--faces",
        100,
    )
    result = run(*words, "--out", tmp_path / "found.csv")
    assert result.exit_code == 0, result.output
    assert [line[:20].strip() for line in result.stdout.splitlines()[2:4]] == ["Logistic regression", "Random forest"]
    assert "±" in result.stdout and "by chance" in result.stdout
    assert pd.read_csv(tmp_path / "found.csv")["classifier"].tolist() == ["Logistic regression", "Random forest"]
    found = as_json(*words, "--out", tmp_path / "found.json")
    assert found == json.loads((tmp_path / "found.json").read_text())
    assert found["seeds"] == [0, 1] and found["contenders"][1]["trials"][0]["top"][0] == 7


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--classifiers", "oracle"), "got oracle"),
        (("--out", "found.txt"), "--out must end in .csv, .json, .md"),
        (("--target", "no"), "has no target 'no'"),
    ],
)
def test_3_wrong_comparisons_are_a_sentence(home, words, sentence):
    result = run("compare", "--table", "toy", "--target", "odd", "--seeds", 1, "--classifiers", "logistic", *words)
    assert result.exit_code == 1 and sentence in result.output.replace("\n", " ")


def test_train_makes_any_kind_and_excludes_1_channel_for_good(home, tmp_path):
    said = as_json(
        "train",
        "--table",
        "toy",
        "--target",
        "odd",
        "--classifier",
        "logistic",
        "--exclude",
        "7",
        "--out",
        tmp_path / "run",
    )
    assert said["classifier"] == "logistic" and said["excluded"] == [7] and said["accuracy"] < 0.8
    model = kinds.load(tmp_path / "run")
    assert model.kind == "logistic" and measures.importance(model)[7] == 0


def test_runs_of_2_kinds_with_the_same_exclusions_are_kept_side_by_side(home):
    studio = Studio()
    table = studio.table("toy")
    for kind in ("logistic", "forest"):
        studio.trainer.keep(studio.train(table, "odd", kind=kind))
    assert {one.classifier.kind for one in studio.trainer.kept(table, "odd")} == {"catboost", "logistic", "forest"}


def test_the_published_classifier_ranks_4319_503_4440_4614_by_average_gain(published):
    found = as_json("classifier", published, "--top", 4)
    assert found["channels"] == 9088
    assert [one["index"] for one in found["concepts"]] == [4319, 503, 4440, 4614]
    assert [round(one["importance"], 4) for one in found["concepts"]] == [0.0704, 0.0479, 0.0236, 0.0202]
    assert found["concepts"][0]["published_name"] == "makeup"
    total = as_json("classifier", published, "--top", 4, "--by", "total_gain")["concepts"]
    assert [one["index"] for one in total] == [4319, 4614, 503, 5029]


def test_it_judges_9088_wide_codes_and_refuses_others(published, home, tmp_path):
    psi = np.random.default_rng(1).normal(size=(3, 9088)).astype(np.float32)
    np.savez(tmp_path / "codes.npz", psi=psi)
    chances = as_json("classifier", published, "--codes", tmp_path / "codes.npz")["probabilities"]
    assert len(chances) == 3 and all(0 < one < 1 for one in chances)
    np.savez(tmp_path / "short.npz", psi=psi[:, :60])
    result = run("classifier", published, "--codes", tmp_path / "short.npz")
    assert result.exit_code == 1 and "must have 9088 channels" in result.output.replace("\n", " ")


def test_imported_it_is_a_run_of_the_table_on_every_page_until_the_table_changes(published, home):
    said = as_json("import", "classifier", published, "--table", "wide", "--target", "odd")
    assert said["origin"] == "img2tab_gender_xgboost.json" and said["count"] == 12
    studio = Studio()
    table = studio.table("wide")
    (run_of,) = [one for one in studio.trainer.kept(table, "odd") if one.origin]
    assert run_of.metrics.accuracy == said["accuracy"]
    assert int(np.argmax(studio.scores(run_of).importance)) == 4319
    code = tables_code(table, 0)
    prediction = studio.predict(run_of, code)
    assert 1 / (1 + np.exp(-prediction.baseline - prediction.contributions.sum())) == pytest.approx(
        prediction.probability, abs=1e-6
    )
    wrong = run("import", "classifier", published, "--table", "toy", "--target", "odd")
    assert wrong.exit_code == 1 and "9,088 channels" in wrong.output and "has 60" in wrong.output.replace("\n", " ")


def tables_code(table, row):
    from img2tab_core.base.records import StyleCode

    return StyleCode.of(table.psi[row], table.backbone)


def test_38_published_channels_have_names_and_what_2_publications_say_is_joined():
    found = names.of_channels(9088)
    assert len(found) == 38 and found[4614].name == "facial hair / gender" and "StyleSpace" in found[4614].source
    layout = layout_of(1024)
    assert layout.locate(4614) == (9, 6) and names.published(layout) == found
    assert names.of_channels(6752) == {}
