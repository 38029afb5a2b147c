"""Published checkpoints open strictly and are converted once; what is not one is a sentence."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from img2tab_core.backbones import backbone, checkpoints
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import sha256_of
from img2tab_core.cli import main
from img2tab_core.networks.ir_se50 import IrSe50
from img2tab_core.networks.resnet50 import ResNet50Features
from img2tab_core.networks.stylegan2 import StyleGAN2
from img2tab_core.weights import opening

runner = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(1234)  # not the 0 of the random w: they would be related
    return StyleGAN2(32).eval()


def g_ema(generator, file, **changes):
    """A rosinality checkpoint; changes: tensors to put in, None takes one out."""
    state = dict(generator.state_dict()) | changes
    state = {name: value for name, value in state.items() if value is not None}
    torch.save({"g_ema": state, "latent_avg": torch.full((512,), 0.5)}, file)
    return file


def e4e(generator, encoder, kind, file, **opts):
    state = {f"decoder.{name}": value for name, value in generator.state_dict().items()}
    state |= {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    torch.save(
        {
            "state_dict": state,
            "latent_avg": torch.ones(8, 512),
            "opts": {"encoder_type": kind, "stylegan_size": 32, "start_from_latent_avg": True, **opts},
        },
        file,
    )
    return file


def test_a_generator_file_opens_bit_for_bit_and_is_converted_once(generator, tmp_path, monkeypatch):
    file = g_ema(generator, tmp_path / "stylegan2.pt")
    parts = checkpoints.open_stylegan2(file)
    for name, value in generator.state_dict().items():
        assert torch.equal(parts.generator.state_dict()[name], value)
    assert parts.encoder is None and parts.latent_avg.shape == (8, 512) and float(parts.latent_avg[7, 3]) == 0.5
    assert not any(p.requires_grad for p in parts.generator.parameters()) and not parts.generator.training
    monkeypatch.setattr(opening, "open_checkpoint", None)  # a second conversion would call it
    assert checkpoints.open_stylegan2(file).key == sha256_of(file)


def test_a_single_code_checkpoint_gives_one_w_for_8_layers_plus_latent_avg(generator, tmp_path):
    torch.manual_seed(1)
    encoder = checkpoints.new_encoder("SingleStyleCodeEncoder", 8).eval()
    file = e4e(generator, encoder, "SingleStyleCodeEncoder", tmp_path / "single.pt")
    opened = backbone.open_backbone(str(file))
    face = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)
    w = opened.invert(face)
    with torch.inference_mode():
        said = encoder(torch.from_numpy(face).permute(0, 3, 1, 2).float() / 127.5 - 1).numpy()
    assert w.shape == (1, 8, 512) and np.allclose(w, said[:, None] + 1, atol=1e-5)
    plain = e4e(generator, encoder, "SingleStyleCodeEncoder", tmp_path / "plain.pt", start_from_latent_avg=False)
    assert np.allclose(backbone.open_backbone(str(plain)).invert(face), said[:, None], atol=1e-5)


def test_a_missing_and_an_extra_tensor_are_named_the_first_5_of_them(generator, tmp_path):
    names = list(generator.state_dict())[10:17]
    file = g_ema(generator, tmp_path / "short.pt", **dict.fromkeys(names), surplus=torch.zeros(1))
    with pytest.raises(Img2TabError) as caught:
        checkpoints.open_stylegan2(file)
    said = str(caught.value)
    assert "7 missing" in said and "1 too many (surplus)" in said
    assert all(name in said for name in names[:5]) and names[5] not in said
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_a_tensor_of_another_shape_or_not_finite_is_named(generator, tmp_path):
    bent = g_ema(generator, tmp_path / "bent.pt", **{"conv1.noise.weight": torch.zeros(2)})
    with pytest.raises(Img2TabError, match=r"1 of another shape \(conv1.noise.weight\)"):
        checkpoints.open_stylegan2(bent)
    broken = g_ema(generator, tmp_path / "nan.pt", **{"conv1.noise.weight": torch.tensor([float("nan")])})
    with pytest.raises(Img2TabError, match=r"decoder.conv1.noise.weight in nan.pt holds values that are not finite"):
        checkpoints.open_stylegan2(broken)


def test_without_latent_avg_it_is_the_mean_of_10000_w(generator, tmp_path):
    torch.save({"g_ema": generator.state_dict()}, tmp_path / "bare.pt")
    parts = checkpoints.open_stylegan2(tmp_path / "bare.pt")
    with torch.inference_mode():
        w = generator.mapping(torch.randn(20_000, 512, generator=torch.Generator().manual_seed(2)))
    off = (parts.latent_avg[0] - w.mean(dim=0)) / w.std(dim=0)  # standard error of the two means: 0.012
    assert off.abs().max() < 0.07


def test_ir_se50_opens_with_or_without_counters_and_moco_without_its_fc(tmp_path):
    torch.manual_seed(0)
    face, resnet = IrSe50(), ResNet50Features()
    old = {name: value for name, value in face.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "model_ir_se50.pth")
    opened = checkpoints.open_ir_se50(tmp_path / "model_ir_se50.pth")
    assert torch.equal(opened.output_layer[3].weight, face.output_layer[3].weight) and not opened.training
    state = {f"module.encoder_q.{name}": value for name, value in resnet.state_dict().items()}
    state |= {f"module.encoder_q.fc.{i}.{kind}": torch.zeros(1) for i in (0, 2) for kind in ("weight", "bias")}
    torch.save({"epoch": 800, "arch": "resnet50", "state_dict": state}, tmp_path / "moco.pt")
    moco = checkpoints.open_moco(tmp_path / "moco.pt")
    assert torch.equal(moco.conv1.weight, resnet.conv1.weight)
    with pytest.raises(Img2TabError, match=r"must be the IR-SE50 face recogniser .*got a MoCo v2"):
        checkpoints.open_ir_se50(tmp_path / "moco.pt")
    del state["module.encoder_q.layer1.0.conv1.weight"]
    torch.save({"state_dict": state}, tmp_path / "moco-short.pt")
    with pytest.raises(Img2TabError, match=r"1 missing \(layer1.0.conv1.weight\)"):
        checkpoints.open_moco(tmp_path / "moco-short.pt")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"a": torch.zeros(1)}, "It holds a"),
        (
            {"state_dict": {"decoder.to_rgb1.bias": torch.zeros(1)}, "opts": {"encoder_type": "Mine"}},
            "must name an encoder_type, one of Encoder4Editing.*got 'Mine'",
        ),
        (
            {"state_dict": {"decoder.to_rgb1.bias": torch.zeros(1)}, "opts": {"encoder_type": "Encoder4Editing"}},
            "must draw 32 to 1024 px, got one of 4 px",
        ),
    ],
)
def test_another_file_is_one_sentence(tmp_path, content, sentence):
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(Img2TabError, match=sentence):
        checkpoints.open_stylegan2(tmp_path / "file.pt")


def test_a_file_that_needs_code_is_refused_with_the_way_to_convert_it(tmp_path):
    torch.save({"state_dict": {}, "opts": argparse.Namespace(size=64)}, tmp_path / "old.pt")
    with pytest.raises(Img2TabError, match=r"could run code.*torch\.load\('old.pt', weights_only=False\)"):
        checkpoints.open_stylegan2(tmp_path / "old.pt")


def test_a_damaged_conversion_is_made_anew(generator, tmp_path, home):
    file = g_ema(generator, tmp_path / "stylegan2.pt")
    folder = checkpoints.convert(file)
    (folder / checkpoints.RECORD).write_text("{")
    assert checkpoints.convert(file) == folder
    assert json.loads((folder / checkpoints.RECORD).read_text())["sha256"] == sha256_of(file)
    assert [one.name for one in folder.parent.iterdir() if one.is_dir()] == [folder.name]


# --- backbones people add -------------------------------------------------------------------------------


def run(*words):
    return runner.invoke(main.app, [str(word) for word in words])


def test_an_added_backbone_is_listed_opened_by_name_and_removed(generator, tmp_path, home):
    file = g_ema(generator, tmp_path / "stylegan2.pt")
    said = json.loads(run("backbone", "add", file, "--name", "mine", "--json").stdout)
    assert (said["size"], said["channels"], said["encoder"]) == (32, 5632, None)
    listed = json.loads(run("backbone", "list", "--json").stdout)["backbones"]
    assert [one["name"] for one in listed] == ["mobilestylegan-ffhq", "mine"]
    file.unlink()  # the conversion is all that is needed
    opened = backbone.open_backbone("mine")
    assert opened.name == "mine" and opened.layout.total == 5632 and opened.sizes == (32,)
    again = run(
        "backbone",
        "add",
        g_ema(generator, tmp_path / "other.pt", surplus=None, **{"conv1.noise.weight": torch.ones(1)}),
        "--name",
        "mine",
    )
    assert again.exit_code == 1 and "already" in again.output
    assert run("backbone", "remove", "mine").exit_code == 0
    gone = run("backbone", "remove", "mine")
    assert gone.exit_code == 1 and "There is no backbone named 'mine'" in gone.output
    with pytest.raises(Img2TabError, match="There is no backbone named 'mine'"):
        backbone.open_backbone("mine")


def test_its_channel_statistics_are_those_of_10000_w_within_2_percent(generator, tmp_path):
    opened = backbone.add_backbone(g_ema(generator, tmp_path / "stylegan2.pt"), "mine")
    with torch.inference_mode():
        psi = generator.styles(generator.mapping(torch.randn(4000, 512, generator=torch.Generator().manual_seed(9))))
    std = psi.std(dim=0).numpy()
    assert np.median(np.abs(opened.stats.std / std - 1)) < 0.02
    assert np.abs(opened.stats.mean - psi.mean(dim=0).numpy()).max() < 0.15 * std.max()
    assert opened.stats.std.shape == (5632,) and not opened.stats.std.flags.writeable


def test_a_generator_without_encoder_says_that_it_cannot_read_photos(generator, tmp_path):
    opened = backbone.open_backbone(str(g_ema(generator, tmp_path / "stylegan2.pt")))
    with pytest.raises(Img2TabError, match="has no encoder"):
        opened.invert(np.zeros((1, 256, 256, 3), np.uint8))


@pytest.mark.parametrize("name", ["", "a/b", ".x", "mobilestylegan-ffhq"])
def test_4_names_a_backbone_cannot_have(generator, tmp_path, name):
    with pytest.raises(Img2TabError, match=re.escape(f"got {name!r}")):
        backbone.add_backbone(g_ema(generator, tmp_path / "stylegan2.pt"), name)


def test_a_table_is_refused_once_its_backbone_s_name_means_other_weights(generator, tmp_path):
    from img2tab_core.studio import Studio
    from img2tab_core.tables import importing_codes

    mine = backbone.add_backbone(g_ema(generator, tmp_path / "one.pt"), "mine")
    np.save(tmp_path / "codes.npy", mine.random_codes(60))
    (tmp_path / "labels.csv").write_text("odd\n" + "\n".join(str(i % 2) for i in range(60)))
    importing_codes.import_codes(tmp_path / "codes.npy", tmp_path / "labels.csv", mine, name="faces")
    assert Studio().table("faces").backbone_key == mine.key == backbone.backbone_key("mine")
    backbone.remove_backbone("mine")
    backbone.add_backbone(g_ema(generator, tmp_path / "two.pt", **{"conv1.noise.weight": torch.ones(1)}), "mine")
    with pytest.raises(Img2TabError, match="encoded by other weights than the backbone mine has now"):
        Studio().table("faces")


def test_a_latent_avg_of_7_numbers_or_of_nan_is_refused(generator, tmp_path):
    for value, sentence in (
        (torch.zeros(7), r"must be \(512,\) or \(8, 512\), got \(7,\)"),
        (torch.full((512,), float("nan")), "must hold finite numbers"),
    ):
        torch.save({"g_ema": generator.state_dict(), "latent_avg": value}, tmp_path / "avg.pt")
        with pytest.raises(Img2TabError, match=sentence):
            checkpoints.open_stylegan2(tmp_path / "avg.pt")


def test_8_processes_that_add_a_name_at_once_lose_none(tmp_path):
    code = (
        "import sys, time\nfrom img2tab_core.backbones.registry import changing_backbones\n"
        "with changing_backbones() as added:\n    time.sleep(0.05)\n    added[sys.argv[1]] = {'folder': sys.argv[1]}"
    )
    home = {**os.environ, "IMG2TAB_HOME": str(tmp_path / "home")}
    working = [subprocess.Popen([sys.executable, "-c", code, f"name-{i}"], env=home) for i in range(8)]
    assert [one.wait(60) for one in working] == [0] * 8
    assert sorted(json.loads((tmp_path / "home" / "backbones.json").read_text())) == [f"name-{i}" for i in range(8)]
