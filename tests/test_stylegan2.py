"""StyleGAN2 and its encoders compute what the original networks computed, for the seeded checkpoint."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from typer.testing import CliRunner

from img2tab_core.backbones import backbone, checkpoints
from img2tab_core.cli import main
from img2tab_core.networks.e4e import Encoder4Editing, GradualStyleEncoder, SingleStyleCodeEncoder
from img2tab_core.networks.ir_se50 import IrSe50
from img2tab_core.networks.stylegan2 import StyleGAN2, layout_of, width_of

runner = CliRunner()
FULL = pytest.param(1024, marks=[pytest.mark.slow, pytest.mark.long])  # 4 GB of memory, a minute


@pytest.fixture(scope="module")
def model(seeded_file, other_home):
    """Size -> the backbone of the seeded checkpoint, opened once."""

    @functools.cache
    def opened(size: int):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("IMG2TAB_HOME", str(other_home))
            return backbone.open_backbone(str(seeded_file(size)))

    return opened


def golden(shared_parity, size):
    return np.load(shared_parity / f"e4e-{size}.npz")


def relative(found, expected):
    """Largest difference as a share of the largest value."""
    return np.abs(found - expected).max() / np.abs(expected).max()


def views(picture):
    """(1, 3, S, S) -> averaged to 64 x 64, and the top left 64 x 64 pixels."""
    return F.avg_pool2d(picture, picture.shape[-1] // 64).numpy(), picture[:, :, :64, :64].numpy()


# --- against the original networks ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, FULL])
def test_w_and_style_codes_of_a_photo_are_the_golden_ones_within_1e_4_relative(model, shared_parity, size):
    expected, opened = golden(shared_parity, size), model(size)
    assert opened.layout.sizes == tuple(expected["sizes"])
    w = opened.invert(expected["photo"][None])
    assert w.shape == (1, 2 * int(np.log2(size)) - 2, 512) and relative(w, expected["w"]) < 1e-4
    assert relative(opened.styles(w), expected["psi"]) < 1e-4
    assert np.abs(opened.styles(w) - expected["psi"]).max() < 1e-3


@pytest.mark.parametrize("size", [64, FULL])
def test_the_picture_and_every_edit_are_the_golden_ones_within_1e_3(model, shared_parity, size):
    expected, generator = golden(shared_parity, size), model(size).generator
    codes = [expected["psi"]]
    for index in expected["edit_index"]:
        moved = expected["psi"].copy()
        moved[0, int(index)] += float(expected["edit_shift"])
        codes.append(moved)
    pooled, patches = [expected["image"], *expected["edits"]], [expected["patch"], *expected["edit_patches"]]
    with torch.inference_mode():
        for code, whole, patch in zip(codes, pooled, patches, strict=True):
            found = views(generator.synthesis(torch.from_numpy(code)))
            assert np.abs(found[0] - whole).max() < 1e-3  # the goal is 1e-2
            assert np.abs(found[1] - patch).max() < 1e-3


@pytest.mark.parametrize("size", [64, FULL])
def test_the_terminal_gives_the_golden_numbers_from_a_checkpoint_file(
    seeded_file, other_home, shared_parity, tmp_path, monkeypatch, size
):
    monkeypatch.setenv("IMG2TAB_HOME", str(other_home))
    expected, file = golden(shared_parity, size), str(seeded_file(size))
    Image.fromarray(expected["photo"]).save(tmp_path / "photo.png")

    def run(*words):
        result = runner.invoke(main.app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result

    codes = tmp_path / "codes.npz"
    run("encode", "--backbone", file, "--no-align", tmp_path / "photo.png", "--out", codes)
    stored = np.load(codes)
    assert relative(stored["psi"], expected["psi"]) < 1e-3 and relative(stored["w"], expected["w"]) < 1e-3
    index, shift = int(expected["edit_index"][-1]), float(expected["edit_shift"])
    run(
        "render",
        "--backbone",
        file,
        "--codes",
        codes,
        "--row",
        0,
        "--size",
        size,
        "--edit-raw",
        f"{index}:+{shift}",
        "--out",
        tmp_path / "x.npy",
    )
    picture = np.load(tmp_path / "x.npy")  # (S, S, 3), not clipped
    assert picture.shape == (size, size, 3) and np.abs(picture).max() > 2
    pooled, patch = views(torch.from_numpy(picture).permute(2, 0, 1)[None])
    assert np.abs(pooled - expected["edits"][-1]).max() < 1e-2
    assert np.abs(patch - expected["edit_patches"][-1]).max() < 1e-2
    said = json.loads(run("render", "--codes", codes, "--out", tmp_path / "y.npy", "--json").stdout)
    assert said["size"] == size  # the file of codes names its backbone


# --- laws ----------------------------------------------------------------------------------------------


def test_1024_px_have_26_style_layers_9088_channels_and_toRGB_where_published():
    layout = layout_of(1024)
    assert layout.layers == 26 and layout.total == 9088 and StyleGAN2.latents(1024) == 18
    assert layout.sizes == (*[512] * 15, *[256] * 3, *[128] * 3, *[64] * 3, *[32] * 2)
    assert layout.locate(4614) == (9, 6) and layout.locate(4319) == (8, 223)
    assert [width_of(side) for side in (4, 64, 128, 256, 1024)] == [512, 512, 256, 128, 32]


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = StyleGAN2(64).eval().requires_grad_(False)
    for module in network.modules():
        if hasattr(module, "noise"):
            module.noise.weight.fill_(0.1)
    return network


def test_a_code_drawn_alone_and_in_a_batch_of_3_is_the_same_picture_within_1e_4(small):
    codes = small.styles(small.mapping(torch.randn(3, 512, generator=torch.Generator().manual_seed(1))))
    together = small.synthesis(codes)
    assert (small.synthesis(codes[1:2]) - together[1:2]).abs().max() < 1e-4
    assert (together[0] - together[1]).abs().max() > 0.1  # and the batch is not one picture three times


def test_a_32_px_picture_is_that_of_the_layers_up_to_there_and_later_edits_do_not_show(small):
    code = small.styles(small.mapping(torch.zeros(1, 512) + 0.5))
    layout = small.layout
    late = code.clone()
    late[:, layout.offsets[11] :] += 1  # the three layers of 64 px
    early = code.clone()
    early[:, layout.offsets[10]] += 5  # toRGB of 32 px
    assert torch.equal(small.synthesis(code, size=32), small.synthesis(late, size=32))
    assert (small.synthesis(code) - small.synthesis(late)).abs().max() > 1e-2
    assert (small.synthesis(code, size=32) - small.synthesis(early, size=32)).abs().max() > 1e-3
    assert [small.shows_from(layer) for layer in (0, 4, 10, 11, 13)] == [32, 32, 32, 64, 64]


def test_one_w_and_the_same_w_10_times_give_the_same_code(small):
    w = small.mapping(torch.ones(2, 512))
    assert torch.equal(small.styles(w), small.styles(w[:, None].repeat(1, 10, 1)))


def test_scaling_a_style_that_is_demodulated_by_3_changes_nothing_within_1e_4(small):
    x, style = torch.randn(1, 512, 8, 8), torch.rand(1, 512) + 0.5
    conv = small.convs[1].conv
    assert torch.allclose(conv(x, style), conv(x, 3 * style), atol=1e-4)


def test_the_gradient_of_a_picture_reaches_every_style_layer(small):
    code = small.styles(small.mapping(torch.ones(1, 512))).requires_grad_(True)
    small.synthesis(code).square().mean().backward()
    assert all(part.abs().max() > 0 for part in code.grad.split(small.layout.sizes, dim=1))


def test_a_size_of_48_is_refused(small):
    with pytest.raises(ValueError, match="48"):
        small.synthesis(torch.zeros(1, small.layout.total), size=48)
    with pytest.raises(ValueError, match="48"):
        StyleGAN2(48)


def test_e4e_adds_what_psp_says_alone_to_the_first_style():
    torch.manual_seed(0)
    psp, faces = GradualStyleEncoder(8).eval(), torch.rand(1, 3, 256, 256) * 2 - 1
    e4e = Encoder4Editing(8).eval()
    e4e.load_state_dict(psp.state_dict())
    with torch.inference_mode():
        own, added = psp(faces), e4e(faces)
    assert own.shape == added.shape == (1, 8, 512)
    assert torch.allclose(added[:, 0], own[:, 0], atol=1e-5)
    assert torch.allclose(added[:, 1:], own[:, :1] + own[:, 1:], atol=1e-4)


def test_the_single_code_encoder_says_512_numbers_and_the_recogniser_unit_vectors():
    with torch.inference_mode():
        assert SingleStyleCodeEncoder().eval()(torch.zeros(2, 3, 256, 256)).shape == (2, 512)
        identity = IrSe50().eval()(torch.rand(2, 3, 112, 112))
    assert identity.shape == (2, 512) and torch.allclose(identity.norm(dim=1), torch.ones(2), atol=1e-5)


def test_every_encoder_a_checkpoint_may_name_is_known():
    assert set(checkpoints.ENCODERS) == {
        "Encoder4Editing",
        "GradualStyleEncoder",
        "SingleStyleCodeEncoder",
        "BackboneEncoderUsingLastLayerIntoW",
    }
