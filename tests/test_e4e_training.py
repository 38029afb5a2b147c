"""Encoder training of a StyleGAN2 backbone: what each loss measures, what trains and what stays frozen."""

from __future__ import annotations

import copy
import csv
import json

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from img2tab_core.backbones import backbone, checkpoints
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.cli import training
from img2tab_core.networks.e4e import Encoder4Editing, GradualStyleEncoder, SingleStyleCodeEncoder
from img2tab_core.networks.ir_se50 import IrSe50
from img2tab_core.networks.lpips import Lpips
from img2tab_core.networks.resnet50 import ResNet50Features, moco_state
from img2tab_core.networks.stylegan2 import StyleGAN2
from img2tab_core.training.encoders import e4e_setup, train_e4e
from img2tab_core.training.encoders.aligned_pictures import AlignedPictures, no_pictures, read_aligned
from img2tab_core.training.encoders.reconstruction import PARTS, LossWeights, ReconstructionLoss, face_crop
from img2tab_core.training.encoders.train_e4e import (
    E4eRecipe,
    deltas,
    encoder_from_ir_se50,
    read_e4e_recipes,
    save_e4e,
)
from img2tab_core.training.encoders.train_e4e import train_e4e as fit
from img2tab_core.training.real_photos import is_held_out
from img2tab_core.weights import store

EVERY_PART = LossWeights(l2=1, lpips=0.8, identity=0.1, moco=0.5)
ONLY_L2 = LossWeights(lpips=0, identity=0)


@pytest.fixture(scope="module")
def judges() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"lpips": Lpips(), "identity": IrSe50(), "moco": ResNet50Features()}


@pytest.fixture(scope="module")
def loss(judges) -> ReconstructionLoss:
    return ReconstructionLoss(EVERY_PART, **judges)


@pytest.fixture(scope="module")
def generator() -> StyleGAN2:
    torch.manual_seed(1)
    return StyleGAN2(32).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def latent_avg() -> torch.Tensor:
    return 0.1 * torch.randn(8, 512, generator=torch.Generator().manual_seed(2))


class Small(nn.Module):
    """An encoder that trains in seconds: mean colours of an 8 x 8 grid, a norm, and one linear map to 8 w."""

    def __init__(self, n_styles: int = 8) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(192)
        self.linear = nn.Linear(192, n_styles * 512)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        x = self.norm(nn.functional.adaptive_avg_pool2d(faces, 8).flatten(1))
        return self.linear(x).view(len(faces), -1, 512)


@pytest.fixture
def small() -> Small:
    torch.manual_seed(3)
    return Small()


def some(count: int, side: int, seed: int = 0) -> torch.Tensor:
    """Smooth pictures float32 (count, 3, side, side) in [-1, 1]."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")


def given(count: int, held_out: int = 0) -> AlignedPictures:
    """So many pictures, the last ones held out."""
    pixels = ((some(count, 256, seed=4).permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    return AlignedPictures(pixels, np.arange(count) >= count - held_out, ())


def state_of(*networks: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for network in networks for value in network.state_dict().values()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("side", [32, 256])
def test_each_of_4_losses_is_0_for_the_same_pictures(loss, side):
    found = loss(some(2, side), some(2, side))
    assert tuple(found.parts) == PARTS
    assert [value.item() for value in found.parts.values()] == [0, 0, 0, 0] and found.total.item() == 0


def test_each_loss_grows_with_the_difference_twice_and_the_total_is_their_weighted_sum(loss):
    faces, noise = some(1, 64), torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    found = [loss(faces + strength * noise, faces) for strength in (0.02, 0.1, 0.5)]
    for part in PARTS:
        near, middle, far = (one.parts[part].item() for one in found)
        assert 0 < near < middle < far, part
    assert found[0].parts["l2"].item() == pytest.approx(0.02**2, rel=0.05)
    parts = found[1].parts
    expected = parts["l2"] + 0.8 * parts["lpips"] + 0.1 * parts["identity"] + 0.5 * parts["moco"]
    assert found[1].total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_loss_of_weight_0_is_not_measured_and_needs_no_network():
    found = ReconstructionLoss(ONLY_L2)(some(1, 32), some(1, 32, seed=1))
    assert tuple(found.parts) == ("l2",) and found.total.item() > 0
    with pytest.raises(Img2TabError, match="The loss moco needs the network"):
        ReconstructionLoss(LossWeights(lpips=0, identity=0, moco=0.5))
    with pytest.raises(Img2TabError, match="must be 0 or more, got l2 = -1"):
        LossWeights(l2=-1)


def test_identity_is_1_minus_the_cosine_and_looks_at_188_of_256_px(loss, judges):
    a, b = some(1, 256), some(1, 256, seed=1)
    with torch.no_grad():
        first, second = judges["identity"](face_crop(a)), judges["identity"](face_crop(b))
    cosine = nn.functional.cosine_similarity(first, second).mean().item()
    assert loss(a, b).parts["identity"].item() == pytest.approx(1 - cosine, abs=1e-6)
    assert face_crop(a).shape == (1, 3, 112, 112)
    border = a.clone()
    border[:, :, :35], border[:, :, 223:], border[..., :32], border[..., 220:] = 1, 1, 1, 1
    found = loss(border, a).parts
    assert found["identity"].item() == 0 and found["l2"].item() > 0.01


def test_drawn_at_32_px_and_a_face_of_256_px_are_compared_at_32_px(loss):
    face = some(1, 256)
    small = nn.functional.avg_pool2d(face, 8)
    assert loss(small, face).total.item() == pytest.approx(0, abs=1e-6)


def test_judges_stay_in_evaluation_without_gradients_when_their_parent_trains(loss, judges):
    before = state_of(*judges.values())
    parent = nn.ModuleList([loss])
    parent.train()
    drawn = some(2, 64).requires_grad_()
    loss(drawn, some(2, 64, seed=1)).total.backward()
    assert not any(module.training for module in loss.modules()) and drawn.grad.abs().max() > 0
    assert all(not one.requires_grad and one.grad is None for one in loss.parameters())
    assert same(before, state_of(*judges.values()))


@pytest.mark.parametrize("part", PARTS)
def test_the_gradient_of_each_of_4_losses_alone_reaches_all_8_w(generator, judges, latent_avg, part):
    alone = ReconstructionLoss(LossWeights(**{name: float(name == part) for name in PARTS}), **judges)
    w_plus = latent_avg[None].clone().requires_grad_()
    alone(generator.synthesis(generator.styles(w_plus), size=32), some(1, 256)).total.backward()
    lengths = w_plus.grad[0].norm(dim=1)
    assert torch.isfinite(lengths).all() and (lengths > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Encoder4Editing, GradualStyleEncoder, SingleStyleCodeEncoder])
def test_the_gradient_reaches_every_parameter_of_each_encoder_and_none_of_the_generator(
    generator,
    latent_avg,
    loss,
    monkeypatch,
    kind,
):
    monkeypatch.setattr(train_e4e, "INPUT_SIZE", 64)  # a sixteenth of the work
    torch.manual_seed(6)
    encoder = kind() if kind is SingleStyleCodeEncoder else kind(8)
    task = train_e4e._Task(given(2), E4eRecipe(batch=2, losses=EVERY_PART), generator, latent_avg, loss)
    total, parts = task.losses(encoder.train(), *task.batch(torch.Generator().manual_seed(0)))
    assert ("delta" in parts) == (kind is Encoder4Editing)
    total.backward()
    missed = [
        name
        for name, one in encoder.named_parameters()
        if one.grad is None or not torch.isfinite(one.grad).all() or one.grad.abs().max() == 0
    ]
    assert missed == []
    assert all(one.grad is None for one in (*generator.parameters(), *loss.parameters()))


def test_deltas_of_3_w_are_their_distances_from_the_first_added_up():
    w = torch.zeros(2, 3, 512)
    w[0, 1, :2], w[0, 2, 0] = torch.tensor([3.0, 4.0]), 2.0  # 5 and 2 for the first picture, 0 for the second
    assert deltas(w).item() == pytest.approx(3.5)
    assert deltas(w + 7).item() == pytest.approx(3.5)


@pytest.mark.slow
def test_after_2_steps_the_encoder_is_another_and_generator_judges_and_the_start_are_bit_for_bit_the_same(
    generator,
    latent_avg,
    loss,
    judges,
    small,
    tmp_path,
):
    frozen, start = state_of(generator, *judges.values()), state_of(small)
    model = fit(
        given(3),
        tmp_path,
        E4eRecipe(steps=2, batch=2, losses=EVERY_PART),
        encoder=small,
        generator=generator,
        latent_avg=latent_avg,
        loss=loss,
    )
    assert same(frozen, state_of(generator, *judges.values())) and same(start, state_of(small))
    moved = [name for name, value in model.state_dict().items() if not torch.equal(value, small.state_dict()[name])]
    assert len(moved) == len(small.state_dict()) and not model.training


@pytest.mark.slow
@pytest.mark.long
def test_12_steps_lower_the_loss_on_their_own_2_pictures_to_less_than_half(
    generator,
    latent_avg,
    small,
    tmp_path,
):
    small.norm, lines = nn.Identity(), []  # two pictures have no statistics
    recipe = E4eRecipe(steps=12, batch=2, rate=1e-3, losses=ONLY_L2, report_every=3)
    fit(
        given(2),
        tmp_path,
        recipe,
        encoder=small,
        generator=generator,
        latent_avg=latent_avg,
        loss=ReconstructionLoss(ONLY_L2),
        report=lines.append,
    )
    assert [line.step for line in lines] == [3, 6, 9, 12]
    assert lines[-1].seen["total"] < lines[0].seen["total"] / 2
    assert lines[-1].held_out == {}  # there are none


@pytest.mark.slow
@pytest.mark.long
def test_a_training_stopped_after_2_of_5_steps_goes_on_to_the_same_bits_and_keeps_its_curve(
    generator,
    latent_avg,
    small,
    tmp_path,
):
    recipe = E4eRecipe(steps=5, batch=3, losses=ONLY_L2, generated=4, report_every=2)
    with_all = {"encoder": small, "generator": generator, "latent_avg": latent_avg, "loss": ReconstructionLoss(ONLY_L2)}
    whole = fit(given(4, held_out=2), tmp_path / "whole", recipe, **with_all)

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(given(4, held_out=2), tmp_path / "parts", recipe, report=stop, **with_all)
    saved = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 2
    parts = fit(given(4, held_out=2), tmp_path / "parts", recipe, **with_all)
    assert same(state_of(whole), state_of(parts))
    curves = []
    for folder in ("whole", "parts"):
        with (tmp_path / folder / "curve.csv").open() as lines:
            curves.append(list(csv.DictReader(lines)))
        for line in curves[-1]:
            del line["minutes"]
    assert curves[0] == curves[1] and [line["step"] for line in curves[0]] == ["2", "4", "5"]
    assert all(float(line["held_out_l2"]) > 0 and float(line["l2"]) > 0 for line in curves[0])
    assert [one["from_step"] for one in read_e4e_recipes(tmp_path / "parts")] == [0]
    again = fit(given(4, held_out=2), tmp_path / "parts", recipe, **with_all)
    assert same(state_of(parts), state_of(again))  # all 5 steps are done: nothing is trained


def test_a_checkpoint_of_another_backbone_or_another_encoder_is_refused(generator, latent_avg, small, tmp_path):
    recipe = E4eRecipe(steps=1, batch=2, losses=ONLY_L2)
    with_all = {"generator": generator, "loss": ReconstructionLoss(ONLY_L2)}
    fit(given(2), tmp_path, recipe, encoder=small, latent_avg=latent_avg, **with_all)
    with pytest.raises(Img2TabError, match="another backbone"):
        fit(given(2), tmp_path, recipe, encoder=small, latent_avg=latent_avg + 1, **with_all)
    with pytest.raises(Img2TabError, match="another kind"):
        fit(given(2), tmp_path, recipe, encoder=Small(7), latent_avg=latent_avg, **with_all)


def test_the_w_of_4_generated_pictures_is_known_and_an_encoder_that_says_it_loses_nothing(
    generator,
    latent_avg,
    small,
    tmp_path,
):
    task = train_e4e._Task(
        no_pictures(256),
        E4eRecipe(batch=4, generated=4, losses=ONLY_L2),
        generator,
        latent_avg,
        ReconstructionLoss(ONLY_L2),
    )
    faces, w = task.batch(torch.Generator().manual_seed(0))
    assert faces.shape == (4, 3, 256, 256) and w.shape == (4, 8, 512) and faces.abs().max() <= 1

    class Knows(nn.Module):
        def forward(self, faces):
            return w - latent_avg

    parts = task.losses(Knows(), faces, w)[1]
    assert parts["w"].item() == pytest.approx(0, abs=1e-12)
    clipped = generator.synthesis(generator.styles(w), size=32)
    assert parts["l2"].item() == pytest.approx((clipped - clipped.clamp(-1, 1)).square().mean().item(), abs=1e-2)
    with pytest.raises(Img2TabError, match="Training needs pictures, got none"):
        fit(
            no_pictures(256),
            tmp_path,
            E4eRecipe(losses=ONLY_L2),
            encoder=small,
            generator=generator,
            latent_avg=latent_avg,
            loss=ReconstructionLoss(ONLY_L2),
        )


def test_a_loss_that_is_no_number_stops_with_a_sentence(generator, latent_avg, small, tmp_path):
    nn.init.constant_(small.linear.bias, float("nan"))
    with pytest.raises(Img2TabError, match="no number any more after 0 steps"):
        fit(
            given(2),
            tmp_path,
            E4eRecipe(steps=3, batch=2, losses=ONLY_L2),
            encoder=small,
            generator=generator,
            latent_avg=latent_avg,
            loss=ReconstructionLoss(ONLY_L2),
        )
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_fresh_encoder_has_the_recognisers_24_units(judges):
    torch.manual_seed(0)
    encoder = encoder_from_ir_se50("SingleStyleCodeEncoder", 8, judges["identity"])
    assert same(
        state_of(encoder.body, encoder.input_layer), state_of(judges["identity"].body, judges["identity"].input_layer)
    )
    assert len(encoder.body) == 24


def test_encoder_pt_of_64_px_has_the_608_names_of_an_e4e_checkpoint(shared_parity, tmp_path):
    torch.manual_seed(0)
    expected = json.loads((shared_parity / "e4e-64.keys.json").read_text())["tensors"]
    file = save_e4e(
        tmp_path / "encoder.pt",
        encoder=Encoder4Editing(10),
        encoder_type="Encoder4Editing",
        generator=StyleGAN2(64),
        latent_avg=torch.zeros(10, 512),
        record={"steps": 7},
    )
    saved = torch.load(file, weights_only=True, mmap=True)
    assert {name: list(value.shape) for name, value in saved["state_dict"].items()} == expected and len(expected) == 608
    assert saved["latent_avg"].shape == (10, 512)
    assert saved["opts"]["encoder_type"] == "Encoder4Editing" and saved["opts"]["stylegan_size"] == 64
    assert json.loads((tmp_path / "encoder.json").read_text())["steps"] == 7


@pytest.mark.slow
def test_an_encoder_trained_for_1_step_opens_as_a_backbone_that_says_the_same_w(
    generator,
    latent_avg,
    monkeypatch,
    tmp_path,
):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(train_e4e, "INPUT_SIZE", 64)
    torch.manual_seed(0)
    trained = fit(
        given(2),
        tmp_path,
        E4eRecipe(steps=1, batch=2, losses=ONLY_L2),
        encoder=SingleStyleCodeEncoder(),
        generator=generator,
        latent_avg=latent_avg,
        loss=ReconstructionLoss(ONLY_L2),
    )
    file = save_e4e(
        tmp_path / "encoder.pt",
        encoder=trained,
        encoder_type="SingleStyleCodeEncoder",
        generator=generator,
        latent_avg=latent_avg,
        record={},
    )
    opened = checkpoints.open_stylegan2(file)
    assert (opened.generator.size, opened.encoder_type) == (32, "SingleStyleCodeEncoder")
    assert torch.equal(opened.latent_avg, latent_avg) and same(state_of(generator), state_of(opened.generator))
    with torch.no_grad():
        assert torch.allclose(trained(some(1, 64)), opened.encoder(some(1, 64)), atol=1e-5)
    assert same(state_of(trained), state_of(opened.encoder))


def test_resnet_50_has_23_5_million_parameters_and_takes_its_318_tensors_from_a_moco_checkpoint(judges):
    network = judges["moco"]
    assert sum(one.numel() for one in network.parameters()) == 23_508_032  # torchvision's 25,557,032 without fc
    state = network.state_dict()
    assert len(state) == 318 and "layer3.5.bn2.running_var" in state and "layer2.0.downsample.0.weight" in state
    checkpoint = {f"module.encoder_q.{name}": value for name, value in state.items()}
    checkpoint |= {
        "module.encoder_q.fc.0.weight": torch.zeros(2),
        "module.encoder_k.conv1.weight": torch.zeros(2),
        "module.queue": torch.zeros(2),
        "module.queue_ptr": torch.zeros(1),
    }
    assert moco_state(checkpoint).keys() == state.keys()
    assert set(moco_state(checkpoint | {"module.other": torch.zeros(1)})) - set(state) == {"module.other"}
    with torch.no_grad():
        shown = network.eval()(some(2, 224))
    assert shown.shape == (2, 2048) and torch.allclose(shown.norm(dim=1), torch.ones(2), atol=1e-5)


# --- pictures ----------------------------------------------------------------------------------------

NAMES = [name for name in (f"face{i}" for i in range(40)) if not is_held_out(name)][:3]
UNSEEN = next(name for name in (f"face{i}" for i in range(40)) if is_held_out(name))


@pytest.fixture
def folder(tmp_path):
    """Three square pictures to train on, one held out, one that is not square and one that is no picture."""
    made = tmp_path / "aligned"
    made.mkdir()
    source = np.random.default_rng(0)
    for i, name in enumerate([*NAMES, UNSEEN]):
        side = (64, 128, 256, 512)[i]
        Image.fromarray(source.integers(0, 256, (side, side, 3), np.uint8)).save(made / f"{name}.png")
    Image.fromarray(np.zeros((70, 80, 3), np.uint8)).save(made / "wide.png")
    (made / "text.png").write_text("no picture")
    return made


def test_of_6_files_4_square_pictures_are_read_once_and_2_are_skipped_with_their_reasons(folder, tmp_path):
    files, seen = sorted(folder.iterdir()), []
    found = read_aligned(files, tmp_path / "out", side=256, progress=lambda done, total: seen.append((done, total)))
    assert found.pixels.shape == (4, 256, 256, 3) and found.held_out.sum() == 1 and seen[-1] == (6, 6)
    reasons = {file.rsplit("/", 1)[-1]: reason for file, reason in found.skipped}
    assert "must be square, got 80 x 70" in reasons["wide.png"] and "text file" in reasons["text.png"]
    row = [file.name for file in files if f"{file}" not in dict(found.skipped)].index(f"{UNSEEN}.png")
    exact = np.asarray(Image.open(folder / f"{UNSEEN}.png")).reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    assert found.held_out[row] and np.abs(found.pixels[row] - exact).max() <= 1
    again = read_aligned(files, tmp_path / "out", side=256, progress=lambda done, total: pytest.fail("read again"))
    assert np.array_equal(again.pixels, found.pixels) and again.skipped == found.skipped
    fewer = read_aligned(files[:-1], tmp_path / "out", side=256)
    assert len(fewer.held_out) + len(fewer.skipped) == 5


def test_no_usable_picture_or_only_held_out_ones_is_a_sentence(folder, tmp_path):
    with pytest.raises(Img2TabError, match=r"None of 2 files could be used\. The first, text\.png"):
        read_aligned([folder / "text.png", folder / "wide.png"], tmp_path / "out", side=256)
    with pytest.raises(Img2TabError, match="all 1 are of the third that only measures"):
        read_aligned([folder / f"{UNSEEN}.png"], tmp_path / "out", side=256)
    with pytest.raises(Img2TabError, match="could not be read"):
        read_aligned([folder / "absent.png"], tmp_path / "out", side=256)


# --- the verb ----------------------------------------------------------------------------------------


@pytest.fixture
def run():
    app = typer.Typer(pretty_exceptions_enable=False)
    training.register(app)
    app.command("other")(lambda: None)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def parts(generator, latent_avg, monkeypatch):
    """Any --backbone opens as the small generator with the small encoder, without a file."""

    class Parts:
        encoder, encoder_type = None, "Encoder4Editing"

    Parts.generator, Parts.latent_avg = copy.deepcopy(generator), latent_avg
    torch.manual_seed(3)
    Parts.encoder = Small()
    monkeypatch.setattr(backbone, "open_backbone", lambda name: Parts)
    return Parts


WITHOUT_JUDGES = ("--lpips", "0", "--identity", "0")


def test_2_steps_from_a_terminal_write_encoder_pt_its_record_and_the_command_that_adds_it(
    run,
    parts,
    folder,
    tmp_path,
):
    out = tmp_path / "out"
    words = ("train-encoder", folder, "--backbone", "x.pt", "--out", out, "--batch", 2, *WITHOUT_JUDGES)
    result = run(*words, "--steps", 2, "--generated", 3)
    assert result.exit_code == 0, result.output
    assert "3 pictures to train on, 1 that only measure; 2 skipped" in result.output
    assert f"img2tab backbone add {out / 'encoder.pt'}" in result.output and "step 2" in result.output
    about = json.loads((out / "encoder.json").read_text())
    assert (about["pictures"], about["held_out_pictures"], len(about["skipped"])) == (3, 1, 2)
    assert about["recipe"]["losses"] == {"l2": 1, "lpips": 0, "identity": 0, "moco": 0, "delta": 2e-4, "w": 1}
    assert about["recipe"]["rate"] == 1e-4 and about["curve"][-1]["step"] == 2
    saved = torch.load(out / "encoder.pt", weights_only=True)
    trained = saved["state_dict"]["encoder.linear.weight"]
    assert not torch.equal(trained, parts.encoder.linear.weight)
    assert torch.equal(saved["state_dict"]["decoder.input.input"], parts.generator.input.input)
    assert "trained so far already" in run(*words, "--steps", 2, "--generated", 3).output


def test_what_cannot_be_trained_is_1_sentence_with_what_to_do(run, parts, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "status", lambda entry: "missing")
    empty = tmp_path / "empty"
    empty.mkdir()
    with_backbone = ("--backbone", "x.pt", "--out", tmp_path / "out")
    for words, sentence in (
        ((folder, *with_backbone, "--lpips", 0), "img2tab weights fetch ir-se50"),
        ((folder, *with_backbone, "--lpips", 0), "--identity 0"),
        ((folder, *with_backbone), "img2tab weights fetch lpips-alex"),
        ((folder, *with_backbone, *WITHOUT_JUDGES, "--moco", 0.5), "img2tab weights fetch moco-v2"),
        ((folder, *with_backbone, *WITHOUT_JUDGES, "--l2", 0), "must be above 0"),
        ((empty, *with_backbone, *WITHOUT_JUDGES), "There is no picture to train on"),
        ((*with_backbone, *WITHOUT_JUDGES), "There is no picture to train on"),
        ((folder, *with_backbone, "--held-out", folder), "--held-out is only for the encoder of the default"),
        ((folder, *with_backbone, "--continue-shipped"), "--continue-shipped is only for"),
        ((folder, "--out", tmp_path / "out", "--held-out", folder, "--moco", 1), "--moco is only for the encoder of a"),
        ((folder, "--out", tmp_path / "out", "--ir-se50", "a.pth"), "--ir-se50 is only for the encoder of a"),
        ((folder, "--out", tmp_path / "out"), "with --held-out"),
        ((folder / "absent", *with_backbone, *WITHOUT_JUDGES), "could not be read"),
    ):
        result = run("train-encoder", *words)
        assert result.exit_code == 1 and len(result.output.splitlines()) == 1, result.output
        assert sentence in result.output
    assert not (tmp_path / "out" / "encoder.pt").exists()
    monkeypatch.setattr(parts, "encoder", None)
    assert "--from-ir-se50" in run("train-encoder", folder, *with_backbone, *WITHOUT_JUDGES).output


def test_ctrl_c_after_1_line_says_where_the_checkpoint_is_and_the_same_command_goes_on(
    parts,
    folder,
    tmp_path,
):
    sources = e4e_setup.Sources("x.pt", sorted(folder.iterdir()))
    recipe = E4eRecipe(steps=2, batch=2, losses=ONLY_L2, report_every=1)

    def stop(text):
        if text.startswith("step 1"):
            raise KeyboardInterrupt

    with pytest.raises(Cancelled, match=r"checkpoint\.pt: run the same command again"):
        e4e_setup.train_backbone_encoder(sources, tmp_path / "out", recipe, facts={}, say=stop)
    assert not (tmp_path / "out" / "encoder.pt").exists()
    said = []
    text = e4e_setup.train_backbone_encoder(sources, tmp_path / "out", recipe, facts={}, say=said.append)
    assert text.startswith("step 2") and (tmp_path / "out" / "encoder.pt").is_file() and "held out: total" in said[-1]
