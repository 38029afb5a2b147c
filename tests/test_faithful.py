"""The encoder's new senses: dlib's descriptor in PyTorch, what a w shows, real portraits in the training."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from img2tab_core import weights
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import ROOT
from img2tab_core.networks.face_descriptor import CHIP, FaceDescriptor, chips_of
from img2tab_core.networks.face_encoder import EncoderConfig, FaceEncoder, to_input
from img2tab_core.training.encoders.augment import augment
from img2tab_core.training.encoders.encoder import RealPhotos, Recipe, save_encoder, train_encoder
from img2tab_core.training.encoders.surrogate import fit_surrogate, load_surrogate, save_surrogate
from img2tab_core.training.encoders.targets import Describer, Targets
from img2tab_core.training.real_photos import is_held_out
from img2tab_core.weights.dlib_dat import read_descriptor

SAMPLES = sorted((ROOT / "assets" / "samples").glob("*.jpg"))


@pytest.fixture(scope="module")
def samples():
    """The 12 sample faces, uint8 (12, 256, 256, 3)."""
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in SAMPLES])


@pytest.fixture(scope="module")
def describer():
    return Describer(weights.open_descriptor(), weights.path("landmarks-68"))


def test_the_descriptor_in_pytorch_is_dlibs_within_1e_5(samples):
    import dlib

    original = dlib.face_recognition_model_v1(str(weights.path("face-descriptor")))
    chips = chips_of(to_input(torch.from_numpy(samples[:3]), 256))
    pixels = ((chips + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    ours = weights.open_descriptor()(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1).numpy()
    assert pixels.shape == (3, CHIP, CHIP, 3)
    for chip, found in zip(pixels, ours, strict=True):
        assert np.abs(np.array(original.compute_face_descriptor(chip)) - found).max() < 1e-5


def test_two_sample_faces_are_farther_apart_than_one_face_at_2_sizes(samples):
    descriptor = weights.open_descriptor()
    large = descriptor(chips_of(to_input(torch.from_numpy(samples), 256)))
    small = descriptor(chips_of(to_input(torch.from_numpy(samples), 128)))
    same = (large - small).norm(dim=1)
    others = torch.cdist(large, large)[~torch.eye(len(samples), dtype=bool)]
    assert same.max() < 0.3 < others.min()


def test_a_descriptor_file_cut_in_half_is_a_sentence(tmp_path):
    whole = weights.path("face-descriptor").read_bytes()
    (tmp_path / "half.dat").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Img2TabError, match=r"half\.dat must hold the 59 whole layers"):
        read_descriptor(tmp_path / "half.dat")


def test_a_gradient_of_the_distance_reaches_every_colour_of_the_face():
    torch.manual_seed(0)
    face = torch.rand(1, 3, 128, 128, requires_grad=True)
    FaceDescriptor()(chips_of(face)).norm().backward()
    assert (face.grad.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_the_face_descriptor_is_frozen_inside_the_encoder_and_left_out_of_its_file(tmp_path):
    torch.manual_seed(0)
    model = FaceEncoder(EncoderConfig(size=128, widths=(8, 8, 8, 8, 8), depths=(0,) * 5, hidden=16))
    model.train()(torch.rand(4, 3, 128, 128) * 2 - 1).square().sum().backward()
    assert all(one.grad is None for one in model.identity.parameters())
    assert model.head.weight.grad.abs().sum() > 0
    kept = weights.open_safetensors(save_encoder(model, tmp_path, {}))
    assert not [name for name in kept if name.startswith("identity.")] and "identity_norm.running_mean" in kept


def test_the_shipped_encoder_reads_the_descriptor_of_the_descriptors_own_file():
    encoder, descriptor = weights.open_encoder(), weights.open_descriptor()
    assert encoder.config.identity
    assert torch.equal(encoder.identity.units[3].first.weight, descriptor.units[3].first.weight)


def test_a_face_is_described_by_128_numbers_68_points_and_32_px(samples, describer):
    found = describer.describe(samples[:2])
    assert found.descriptors.shape == (2, 128) and found.small.shape == (2, 32, 32, 3)
    points = found.landmarks.reshape(2, 68, 2)
    assert np.abs(points[:, 36:48].mean(axis=1) - (0.5, 0.48)).max() < 0.05  # where alignment puts the eyes
    assert np.linalg.norm(found.descriptors[0] - found.descriptors[1]) > 0.4


def test_descriptions_of_5_faces_are_kept_and_not_made_again(tmp_path, samples, describer, monkeypatch):
    np.save(tmp_path / "w.npy", np.zeros((5, 512), np.float32))
    np.save(tmp_path / "faces.npy", samples[:5])
    (tmp_path / "done.txt").write_text("5")
    first = describer.describe_pairs(tmp_path)
    monkeypatch.setattr(describer, "describe", lambda faces: pytest.fail("described again"))
    again = describer.describe_pairs(tmp_path)
    assert len(first.small) == 5 and np.array_equal(first.descriptors, again.descriptors)


@pytest.fixture(scope="module")
def shown():
    """1,100 w of which each shows a linear image of itself, and what they show."""
    source = np.random.default_rng(0)
    w = source.normal(size=(1100, 512)).astype(np.float32)

    def image(size):
        return (w[:, :8] @ source.normal(size=(8, size)) / 8).astype(np.float32)

    small = np.clip((image(3072) + 1) * 127.5, 0, 255).astype(np.uint8).reshape(-1, 32, 32, 3)
    return w, Targets(image(128), image(136), small)


@pytest.fixture(scope="module")
def fitted(shown):
    """The surrogate of what they show, and its R2 by part."""
    w, targets = shown
    return fit_surrogate(w, targets, epochs=8, batch=64)


def test_the_surrogate_learns_what_8_numbers_of_w_show_and_comes_back_from_its_file(shown, fitted, tmp_path):
    w, targets = shown
    model, error = fitted
    assert min(error.values()) > 0.5
    truth, guess = model.shown(targets), model(torch.from_numpy(w))
    assert model.differences(truth, truth).abs().max() == 0
    mean = type(truth)(
        *(
            getattr(truth, name).mean(0, keepdim=True).expand_as(getattr(truth, name))
            for name in ("descriptors", "landmarks", "picture")
        )
    )
    assert model.differences(mean, truth).numpy() == pytest.approx(1, abs=0.02)  # 1: a guess that knows nothing
    assert (model.differences(guess, truth) < 0.5).all()
    save_surrogate(model, error, tmp_path / "surrogate.pt")
    again, kept = load_surrogate(tmp_path / "surrogate.pt")
    assert kept == error and torch.equal(again(torch.from_numpy(w[:3])).picture, model(torch.from_numpy(w[:3])).picture)


def test_100_described_faces_are_too_few_for_a_surrogate(shown):
    w, targets = shown
    few = Targets(targets.descriptors[:100], targets.landmarks[:100], targets.small[:100])
    with pytest.raises(Img2TabError, match="at least 1024 described faces, got 100"):
        fit_surrogate(w[:100], few)


@pytest.mark.slow
@pytest.mark.long
def test_real_photos_enter_a_training_and_unseen_ones_only_measure_it(tmp_path, samples, describer, generator, fitted):
    folder = tmp_path / "pairs"
    folder.mkdir()
    source = np.random.default_rng(0)
    np.save(folder / "w.npy", source.normal(size=(60, 512)).astype(np.float32))
    np.save(folder / "faces.npy", np.repeat(samples[:, ::2, ::2], 5, axis=0))
    (folder / "done.txt").write_text("60")
    save_surrogate(*fitted, tmp_path / "surrogate.pt")  # to fit one of its own it would need 1,024 faces
    recipe = Recipe(
        encoder=EncoderConfig(widths=(8, 8, 8, 8, 8), depths=(0,) * 5, hidden=16), steps=2, batch=16, real_share=0.25
    )

    def trained(name, seen, unseen):
        lines = []
        (tmp_path / name).mkdir()
        shutil.copy(tmp_path / "surrogate.pt", tmp_path / name)
        model = train_encoder(
            [folder],
            folder,
            tmp_path / name,
            recipe,
            describer=describer,
            generator=generator,
            real=RealPhotos(seen, unseen),
            report=lines.append,
        )
        return model.head.weight, lines[-1].real_identity

    weight, distance = trained("first", samples[:4], samples[4:6])
    same_weight, other_distance = trained("other-unseen", samples[:4], samples[6:8])
    other_weight, _ = trained("other-seen", samples[8:12], samples[4:6])
    assert 0.2 < distance < 1.5
    assert torch.equal(weight, same_weight) and distance != other_distance  # they only measure
    assert not torch.equal(weight, other_weight)  # these take part


def test_real_photos_without_a_describer_are_refused(tmp_path, samples):
    with pytest.raises(Img2TabError, match="need a describer"):
        train_encoder([tmp_path], tmp_path, tmp_path, Recipe(), real=RealPhotos(samples[:1], samples[1:2]))


def test_a_third_of_3000_names_is_held_out_whatever_folder_they_are_in():
    names = [f"A{i:06d}.jpg" for i in range(3000)]
    held = [is_held_out(name) for name in names]
    assert 930 < sum(held) < 1070
    assert held == [is_held_out(f"somewhere/else/{name[:-4]}.png") for name in names]


def test_an_encoder_trained_on_half_the_light_is_shown_borders_glare_and_uneven_light():
    grey = torch.zeros(200, 3, 64, 64)
    changed = augment(grey, torch.Generator().manual_seed(0))
    left, right = changed[..., :32].mean(dim=(1, 2, 3)), changed[..., 32:].mean(dim=(1, 2, 3))
    assert ((left - right).abs() > 0.05).float().mean() > 0.2  # light from one side
