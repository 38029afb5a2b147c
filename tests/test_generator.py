"""The default generator draws what the published one draws."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from img2tab_core import weights
from img2tab_core.networks.mobilestylegan import MobileStyleGAN
from img2tab_core.networks.ops import band_major, inverse_haar
from img2tab_core.training.encoders.preview_heads import fit_preview_heads


@pytest.fixture(scope="module")
def golden(shared_parity):
    return np.load(shared_parity / "mobilestylegan-1024.npz")


def pooled_and_patch(picture):
    return F.avg_pool2d(picture, 16).numpy(), picture[:, :, 480:544, 480:544].numpy()


def test_layout_has_23_layers_and_6752_channels():
    assert MobileStyleGAN.layout.layers == 23
    assert MobileStyleGAN.layout.total == 6752
    assert MobileStyleGAN.layout.sizes[:4] == (512, 512, 128, 512)
    assert MobileStyleGAN.layout.locate(2839) == (7, 2839 - sum(MobileStyleGAN.layout.sizes[:7]))


def test_w_and_style_codes_of_four_z_are_the_golden_ones_within_1e_3(generator, golden):
    w = generator.mapping(torch.from_numpy(golden["z"]))
    assert np.abs(w.numpy() - golden["w"]).max() < 1e-4
    psi = generator.styles(torch.from_numpy(golden["w"]))
    assert np.abs(psi.numpy() - golden["psi"]).max() < 1e-3
    assert tuple(golden["sizes"]) == generator.layout.sizes


@pytest.mark.parametrize("row", range(4))
def test_pictures_of_four_codes_are_the_golden_ones_within_1e_3(generator, golden, row):
    with torch.inference_mode():
        picture = generator.synthesis(torch.from_numpy(golden["psi"][row : row + 1]), size=1024)
    pooled, patch = pooled_and_patch(picture)
    assert np.abs(pooled - golden["image"][row : row + 1]).max() < 1e-3
    assert np.abs(patch - golden["patch"][row : row + 1]).max() < 1e-3


def test_four_edits_of_code_0_are_the_golden_ones_within_1e_3(generator, golden):
    for i, index in enumerate(golden["edit_index"]):
        psi = torch.from_numpy(golden["psi"][:1].copy())
        psi[0, int(index)] += float(golden["edit_shift"])
        with torch.inference_mode():
            pooled, patch = pooled_and_patch(generator.synthesis(psi, size=1024))
        assert np.abs(pooled - golden["edits"][i]).max() < 1e-3
        assert np.abs(patch - golden["edit_patches"][i]).max() < 1e-3


def test_512_px_is_the_mean_of_each_2_by_2_pixels_of_1024_within_1e_5(generator, golden):
    psi = torch.from_numpy(golden["psi"][:1])
    with torch.inference_mode():
        whole = generator.synthesis(psi, size=1024)
        half = generator.synthesis(psi, size=512)
    assert (F.avg_pool2d(whole, 2) - half).abs().max() < 1e-5


@pytest.mark.parametrize("size", [128, 256])
def test_a_preview_differs_from_the_averaged_picture_by_no_more_than_its_record_says_twice(generator, golden, size):
    stated = weights.record("preview-heads")["error"][str(size)]["rmse"]
    psi = torch.from_numpy(golden["psi"])
    with torch.inference_mode():
        exact = F.avg_pool2d(generator.synthesis(psi, size=512), 512 // size)
        preview = generator.synthesis(psi, size=size)
    assert preview.shape == (4, 3, size, size)
    assert (exact - preview).square().mean().sqrt() < 2 * stated


@pytest.mark.parametrize("size", [128, 256])
def test_every_one_of_23_style_layers_has_an_effect_in_a_preview(generator, golden, size):
    psi = torch.from_numpy(golden["psi"][:1])
    with torch.inference_mode():
        before = generator.synthesis(psi, size=size)
        for layer, start in enumerate(generator.layout.offsets[:-1]):
            moved = psi.clone()
            moved[0, start : start + 8] += 3.0
            assert (generator.synthesis(moved, size=size) - before).abs().max() > 1e-3, f"layer {layer}"


def test_the_same_code_gives_the_same_picture_bit_for_bit_and_leaves_the_code_alone(generator, golden):
    psi = torch.from_numpy(golden["psi"][:1].copy())
    kept = psi.clone()
    with torch.inference_mode():
        assert torch.equal(generator.synthesis(psi, size=128), generator.synthesis(psi, size=128))
    assert torch.equal(psi, kept)


def test_a_size_it_cannot_draw_is_refused(generator):
    with pytest.raises(ValueError, match="1024, 512, 256, 128"):
        generator.synthesis(torch.zeros(1, 6752), size=300)


def test_inverse_haar_of_one_block_worked_by_hand():
    low, lh, hl, hh = 8.0, 2.0, 4.0, 1.0
    out = inverse_haar(torch.tensor([low, lh, hl, hh]).view(1, 4, 1, 1))
    expected = [[(8 + 2 + 4 + 1) / 2, (8 + 2 - 4 - 1) / 2], [(8 - 2 + 4 - 1) / 2, (8 - 2 - 4 + 1) / 2]]
    assert out[0, 0].tolist() == expected


def test_band_major_of_8_channels_worked_by_hand():
    assert band_major(8).tolist() == [0, 1, 2, 5, 3, 6, 4, 7]


@pytest.mark.slow
@pytest.mark.long
def test_preview_heads_fitted_on_6_faces_explain_over_nine_tenths_of_4_others(generator):
    own = copy.deepcopy(generator)  # the heads are written into it
    found = fit_preview_heads(own, faces=6, held_out=4)
    assert set(found) == {"128", "256"} and min(one["r2"] for one in found.values()) > 0.9
    assert not torch.equal(own.preview["128"].weight, generator.preview["128"].weight)
