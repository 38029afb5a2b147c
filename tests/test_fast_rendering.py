"""Every fast way to a picture gives the picture of the plain way: features taken up, folded scales, a shared cache."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from img2tab_core.backbones import rendering
from img2tab_core.backbones.feature_cache import FeatureCache, Reuse
from img2tab_core.base.records import Edit, StyleCode
from img2tab_core.networks.features import Features, Low
from img2tab_core.networks.ops import conv_of_scaled, inverse_haar
from img2tab_core.networks.stylegan2 import StyleGAN2
from tests.benchmarks.rendering import plain_mobilestylegan, plain_stylegan2

CLOSE = 1e-4  # of a picture in [-1, 1], before it is clipped
SLOW, LONG = [pytest.mark.slow], [pytest.mark.slow, pytest.mark.long]
LARGE = [pytest.param(256, marks=SLOW), *(pytest.param(size, marks=LONG) for size in (512, 1024))]


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():  # models opened here serve other tests too
        yield


@pytest.fixture(scope="module")
def codes(generator):
    """Three style codes of the default generator, (3, 6752)."""
    noise = torch.Generator().manual_seed(5)
    mean = generator.mapping(torch.randn(1000, 512, generator=noise)).mean(dim=0)
    w = generator.mapping(torch.randn(3, 512, generator=noise))
    return generator.styles(mean + 0.7 * (w - mean))


def random_stylegan2(size):
    """StyleGAN2 with random weights: pictures of some units, not of one."""
    torch.manual_seed(0)
    network = StyleGAN2(size).eval().requires_grad_(False)
    for module in network.modules():
        if hasattr(module, "noise"):
            module.noise.weight.fill_(0.1)
        if hasattr(module, "activate"):
            module.activate.bias.normal_(0, 0.1)
    return network


@pytest.fixture(scope="module")
def small():
    """One of 64 px and its three style codes."""
    network = random_stylegan2(64)
    return network, network.styles(network.mapping(torch.randn(3, 512, generator=torch.Generator().manual_seed(1))))


@pytest.fixture(scope="module", params=[128, pytest.param(1024, marks=LONG)])
def large(request):
    """One that is larger and its style code; the one of 1024 px takes twenty times as long."""
    network = random_stylegan2(request.param)
    return network, network.styles(network.mapping(torch.ones(1, 512)))


def moved(styles, layer, layout, shift=1.0):
    """The same style codes with three channels of one layer moved."""
    out = styles.clone()
    start = layout.offsets[layer]
    out[:, [start, start + 5, layout.offsets[layer + 1] - 1]] += shift
    return out


def furthest(found, expected):
    return (found - expected).abs().max()


def code_of(styles):
    return StyleCode.of(styles[0].numpy())


# --- the default generator ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [128, *LARGE])
def test_three_codes_one_at_a_time_and_together_are_the_plain_pictures_within_1e_4(generator, codes, size):
    expected = plain_mobilestylegan(generator, codes, size)
    assert furthest(generator.synthesis(codes, size=size), expected) < CLOSE
    for i in range(3):
        found = generator.synthesis(codes[i : i + 1], size=size)
        assert furthest(found[0], expected[i]) < CLOSE
    features = generator.prefix(codes[2:], 12, size=size)
    assert torch.equal(generator.synthesis(codes[2:], size=size, after=features), found)


# the larger ones take the same steps, at other sizes: the stem, the three of a block early, in the middle and last
SOME = [0, 1, 2, 3, 13, 14, 15, 19, 20, 21, 22]


@pytest.mark.parametrize(
    ("size", "layers"),
    [
        (128, range(23)),
        pytest.param(256, SOME, marks=SLOW),
        pytest.param(256, range(23), marks=LONG),
        *(pytest.param(size, SOME, marks=LONG) for size in (512, 1024)),
    ],
)
def test_an_edit_in_each_of_23_or_11_layers_drawn_from_the_features_before_it_is_the_plain_picture(
    generator, codes, size, layers
):
    code, features = codes[:1], None
    for layer in layers:
        features = generator.prefix(code, layer, size=size, after=features)
        assert features.layer == layer and features.tensors[0].shape[-1] == generator.side(layer, size)
        edited = moved(code, layer, generator.layout)
        found = generator.synthesis(edited, size=size, after=features)
        assert furthest(found, plain_mobilestylegan(generator, edited, size)) < CLOSE, f"layer {layer}"


def test_three_edits_of_layer_9_share_the_features_of_one_face_within_1e_4(generator, codes):
    frames = codes[:1].repeat(3, 1)
    frames[:, generator.layout.index_of(9, 17)] += torch.tensor([-2.0, 0.0, 2.0])
    features = generator.prefix(codes[:1], 9, size=128)
    together = generator.synthesis(frames, size=128, after=features)
    assert furthest(together, plain_mobilestylegan(generator, frames, 128)) < CLOSE
    assert furthest(together[0], together[2]) > 0.01


def test_128_and_256_px_share_the_features_of_their_first_16_layers_and_512_and_1024_those_of_all_23(generator, codes):
    shared = [layer for layer in range(23) if generator.side(layer, 128) == generator.side(layer, 256)]
    assert shared == list(range(17))
    assert all(generator.side(layer, 512) == generator.side(layer, 1024) for layer in range(23))
    features = generator.prefix(codes[:1], 16, size=128)
    assert torch.equal(
        generator.synthesis(codes[:1], size=256, after=features), generator.synthesis(codes[:1], size=256)
    )


def test_features_of_another_face_another_size_or_a_later_layer_are_refused(generator, codes):
    features = generator.prefix(codes[:1], 4, size=128)
    with pytest.raises(ValueError, match="same style codes"):
        generator.synthesis(codes[1:2], size=128, after=features)
    with pytest.raises(ValueError, match="layer 3"):
        generator.prefix(codes[:1], 3, size=128, after=features)
    late = generator.prefix(codes[:1], 18, size=128)
    with pytest.raises(ValueError, match="at 256 px"):
        generator.synthesis(codes[:1], size=256, after=late)
    with pytest.raises(ValueError, match="0 to 22"):
        generator.prefix(codes[:1], 23, size=128)


def test_what_is_kept_is_not_written_into_when_it_is_taken_up(generator, codes):
    for layer in (1, 2, 9, 17, 20, 22):
        features = generator.prefix(codes[:1], layer, size=128)
        before = [tensor.clone() for tensor in features.tensors]
        generator.synthesis(moved(codes[:1], layer, generator.layout), size=128, after=features)
        assert all(torch.equal(*pair) for pair in zip(before, features.tensors, strict=True)), f"layer {layer}"


@pytest.mark.parametrize("size", [128, 256])
def test_a_preview_is_its_head_over_its_features_within_1e_4(generator, codes, size):
    expected = generator.preview[str(size)](generator.preview_features(codes[:2], size=size))
    assert furthest(generator.synthesis(codes[:2], size=size), expected) < CLOSE


def levels(generator, styles, size, low):
    """The most and the mean by which 16 bits move a pixel, in levels of 255."""
    found, expected = generator.synthesis(styles, size=size, low=low), generator.synthesis(styles, size=size)
    assert found.dtype == torch.float32
    apart = (found.clamp(-1, 1) - expected.clamp(-1, 1)).abs() * 127.5
    return float(apart.max()), float(apart.mean())


@pytest.mark.parametrize("size", [128, *LARGE])
def test_a_close_picture_is_within_2_of_255_levels_in_every_pixel(generator, codes, size):
    low = Low(torch.float16, generator.close_from[torch.float16])
    most, mean = levels(generator, moved(codes[1:2], low.layer, generator.layout), size, low)
    assert 0 < most <= 2 and mean < 0.5


@pytest.mark.parametrize("size", [128, pytest.param(256, marks=LONG)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_frame_of_a_strip_is_within_8_of_255_levels_and_half_a_level_on_average(generator, codes, size, dtype):
    low = Low(dtype, generator.draft_from[dtype])
    for code in (codes[1:2], moved(codes[2:], 7, generator.layout, shift=-4.0)):
        most, mean = levels(generator, code, size, low)
        assert 0 < most <= 8 and mean < 0.5


def test_webp_changes_a_frame_twice_as_much_as_16_bits_do(generator, codes):
    import io

    from PIL import Image

    from dashboard.components.scrub import webp

    exact, draft = (
        rendering.to_pixels(generator.synthesis(codes[:1], size=128, low=low)[0].permute(1, 2, 0).numpy()).astype(float)
        for low in (None, Low(torch.bfloat16, generator.draft_from[torch.bfloat16]))
    )
    coded = np.asarray(Image.open(io.BytesIO(webp(exact.astype(np.uint8), None))).convert("RGB"), float)
    assert np.abs(coded - exact).mean() > 2 * np.abs(draft - exact).mean()


def test_features_of_16_bits_are_not_taken_up_by_an_exact_picture(generator, codes, monkeypatch):
    monkeypatch.setattr(rendering, "_knows_bfloat16", lambda: True)
    reuse, code = Reuse(FeatureCache(), "weights", (16,)), [code_of(codes)]
    expected = rendering.draw_raw(generator, code, size=128)
    draft = rendering.draw_raw(generator, code, size=128, reuse=reuse, precision="draft")
    assert 0 < np.abs(draft - expected).max() < 16 / 127.5
    assert np.abs(rendering.draw_raw(generator, code, size=128, reuse=reuse) - expected).max() < CLOSE
    assert len(reuse.cache) == 2


def test_a_machine_without_bfloat16_draws_every_picture_exactly_and_a_graphics_card_takes_float16(
    generator, small, monkeypatch
):
    monkeypatch.setattr(rendering, "_knows_bfloat16", lambda: False)
    cpu, card = torch.device("cpu"), torch.device("cuda")
    assert all(rendering.low_of(generator, cpu, precision) is None for precision in ("exact", "close", "draft"))
    assert rendering.low_of(generator, card, "exact") is None
    assert rendering.low_of(generator, card, "close") == Low(torch.float16, 16)
    assert rendering.low_of(small[0], card, "close") == Low(torch.bfloat16, 14)


# --- StyleGAN2 ---------------------------------------------------------------------------------------------------


def test_three_codes_of_a_stylegan2_one_at_a_time_and_together_are_the_plain_pictures_within_1e_4(small):
    network, codes = small
    expected = plain_stylegan2(network, codes)
    assert furthest(network.synthesis(codes), expected) < CLOSE
    assert furthest(network.synthesis(codes[1:2])[0], expected[1]) < CLOSE


@pytest.mark.parametrize("size", [32, 64])
def test_an_edit_in_each_layer_of_a_stylegan2_is_the_plain_picture_within_1e_4(small, size):
    network, codes = small
    code, features = codes[:1], None
    assert network.layers(size) == (14 if size == 64 else 11)
    for layer in range(network.layers(size)):
        features = network.prefix(code, layer, size=size, after=features)
        edited = moved(code, layer, network.layout)
        found = network.synthesis(edited, size=size, after=features)
        if size == network.size:
            assert furthest(found, plain_stylegan2(network, edited)) < CLOSE, f"layer {layer}"
        else:
            assert torch.equal(found, network.synthesis(edited, size=size)), f"layer {layer}"


def test_the_features_for_a_32_px_picture_lead_to_one_of_64_px_too(small):
    network, codes = small
    features = network.prefix(codes[:1], 10, size=32)
    assert features.side == 32 and len(features.tensors) == 2
    assert torch.equal(network.synthesis(codes[:1], after=features), network.synthesis(codes[:1]))
    frames = codes[:1].repeat(2, 1)
    frames[:, network.layout.offsets[10]] += torch.tensor([0.0, 3.0])
    assert furthest(network.synthesis(frames, after=features), plain_stylegan2(network, frames)) < CLOSE


@pytest.mark.slow
def test_edits_of_a_larger_stylegan2_are_the_plain_pictures_within_1e_5_of_their_largest_value(large):
    network, code = large
    features = None
    for layer in (0, 9, network.layers(network.size) - 1):
        features = network.prefix(code, layer, after=features)
        edited = moved(code, layer, network.layout)
        expected = plain_stylegan2(network, edited)
        found = network.synthesis(edited, after=features)
        assert furthest(found, expected) / expected.abs().max() < 1e-5, f"layer {layer}"


@pytest.mark.slow
def test_16_bits_in_the_last_layers_of_a_larger_stylegan2_move_no_pixel_by_more_than_2_of_255_levels(large):
    network, code = large
    expected = network.synthesis(code)
    level = (expected.max() - expected.min()) / 255  # random weights draw wider than from -1 to 1
    found = network.synthesis(code, low=Low(torch.bfloat16, network.draft_from[torch.bfloat16]))
    assert 0 < furthest(found, expected) / level <= 2  # a draft is in 16 bits from an earlier layer on than a picture


# --- pieces ------------------------------------------------------------------------------------------------------


def test_scaling_the_weights_is_scaling_the_channels_within_1e_5():
    torch.manual_seed(0)
    x, scale = torch.randn(1, 8, 6, 6), torch.rand(1, 8) + 0.5
    for weight, groups in ((torch.randn(8, 1, 3, 3), 8), (torch.randn(5, 8, 3, 3), 1)):
        expected = F.conv2d(x * scale[:, :, None, None], weight, padding=1, groups=groups)
        assert furthest(conv_of_scaled(x, scale, weight, padding=1, groups=groups), expected) < 1e-5
        two = conv_of_scaled(x.repeat(2, 1, 1, 1), scale.repeat(2, 1), weight, padding=1, groups=groups)
        assert furthest(two, expected) < 1e-5


def test_an_inverse_haar_with_scales_1_2_0_4_worked_by_hand():
    out = inverse_haar(torch.tensor([8.0, 2.0, 4.0, 1.0]).view(1, 4, 1, 1), torch.tensor([[1.0, 2.0, 0.0, 4.0]]))
    assert out[0, 0].tolist() == [[(8 + 4 + 4) / 2, (8 + 4 - 4) / 2], [(8 - 4 - 4) / 2, (8 - 4 + 4) / 2]]


# --- the cache ---------------------------------------------------------------------------------------------------


def of_bytes(count):
    return Features(1, 4, torch.zeros(1, 1), (torch.zeros(count // 4),))


def test_a_cache_of_100_bytes_keeps_two_of_40_and_the_longest_unused_goes():
    cache = FeatureCache(100)
    first, second, third = of_bytes(40), of_bytes(40), of_bytes(40)
    cache.put("a", first)
    cache.put("b", second)
    assert cache.peek("a") is first and cache.weight == 80
    cache.put("c", third)
    assert cache.peek("b") is None and cache.peek("a") is first and cache.peek("c") is third
    assert len(cache) == 2 and cache.weight == 80


def test_a_cache_does_not_keep_what_is_larger_than_itself_and_counts_what_comes_twice_once():
    cache = FeatureCache(100)
    cache.put("a", of_bytes(60))
    cache.put("b", of_bytes(104))
    assert cache.peek("b") is None and cache.peek("a") is not None
    cache.put("a", of_bytes(40))
    assert cache.weight == 40 and len(cache) == 1


def test_8_threads_that_keep_and_take_1000_times_never_pass_the_limit():
    cache, over = FeatureCache(400), []

    def work(seed):
        chosen = np.random.default_rng(seed)
        for _ in range(1000):
            name, count = int(chosen.integers(10)), int(chosen.integers(1, 40)) * 4
            cache.put((name, count), of_bytes(count))
            found = cache.peek((name, count))
            if cache.weight > 400 or (found is not None and found.nbytes != count):
                over.append(name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert not over and cache.weight == sum(one.nbytes for one in cache._kept.values())


@pytest.fixture
def steps(generator, monkeypatch):
    """The layers that were computed, in order."""
    seen, original = [], type(generator).step

    def counted(self, layer, *given):
        seen.append(layer)
        return original(self, layer, *given)

    monkeypatch.setattr(type(generator), "step", counted)
    return seen


def test_five_frames_that_move_layer_16_compute_the_first_16_layers_once(generator, codes, steps):
    frames = [code_of(moved(codes[:1], 16, generator.layout, shift)) for shift in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    reuse = Reuse(FeatureCache(), "weights", (16,))
    rendering.draw(generator, frames, size=128, reuse=reuse)
    assert len(steps) == 16 + 5 * 7
    steps.clear()
    rendering.draw(generator, frames[:1], size=128, reuse=reuse)
    assert steps == list(range(16, 23))


def test_of_two_edits_the_one_that_moves_begins_at_its_own_layer(generator, codes, steps):
    cache, layout = FeatureCache(), generator.layout
    both = moved(moved(codes[:1], 4, layout), 10, layout)
    rendering.draw(generator, [code_of(both)], size=128, reuse=Reuse(cache, "weights", (4, 10)))
    assert steps == list(range(23))
    for layer in (10, 4):
        steps.clear()
        again = code_of(moved(both, layer, layout, 0.5))
        rendering.draw(generator, [again], size=128, reuse=Reuse(cache, "weights", (4, 10)))
        assert steps == list(range(layer, 23))


def test_a_family_that_moves_every_layer_keeps_features_once_and_another_backbone_does_not_see_them(
    generator, codes, steps
):
    cache = FeatureCache()
    rendering.draw(generator, [code_of(codes)], size=128, reuse=Reuse(cache, "weights", tuple(range(23))))
    assert len(cache) == 1
    steps.clear()
    rendering.draw(generator, [code_of(codes)], size=128, reuse=Reuse(cache, "others", tuple(range(23))))
    assert steps == list(range(23)) and len(cache) == 2


def test_four_threads_that_draw_24_edits_with_one_small_cache_get_the_plain_pictures(generator, codes):
    layout = generator.layout
    wanted = [
        (who, layers, moved(moved(codes[who : who + 1], layers[0], layout, 0.3 * turn), layers[-1], layout, -0.2))
        for who in range(3)
        for layers in ((1,), (7,), (9, 16), (20,))
        for turn in range(2)
    ]
    expected = [generator.synthesis(styles, size=128)[0].permute(1, 2, 0).numpy() for _, _, styles in wanted]
    plain = plain_mobilestylegan(generator, wanted[-1][2], 128)[0].permute(1, 2, 0).numpy()
    assert np.abs(expected[-1] - plain).max() < CLOSE
    cache, start = FeatureCache(12 << 20), threading.Barrier(4)  # about four faces: most of what is kept goes soon

    def work(number):
        start.wait()
        return [
            (
                i,
                rendering.draw_raw(
                    generator, [code_of(wanted[i][2])], size=128, reuse=Reuse(cache, "weights", wanted[i][1])
                )[0],
            )
            for i in range(number, len(wanted), 4)
        ]

    with ThreadPoolExecutor(4) as pool:
        for part in pool.map(work, range(4)):
            for i, found in part:
                assert np.abs(found - expected[i]).max() < CLOSE
    assert 0 < cache.weight <= 12 << 20


def test_the_service_draws_an_edit_a_strip_and_a_sheet_as_the_plain_way_does_within_1_level(studio, codes):
    generator, code = studio.backbone().generator, code_of(codes)
    std, index = studio.stats().std, generator.layout.index_of(12, 40)

    def plain(*edits):
        values = code.values.copy()
        for edit in edits:
            values[edit.index] += np.float32(edit.shift * std[edit.index])
        picture = plain_mobilestylegan(generator, torch.from_numpy(values)[None], 128)
        return rendering.to_pixels(picture.permute(0, 2, 3, 1).numpy())[0].astype(int)

    other = Edit(generator.layout.index_of(3, 9), 4.0)
    for _ in range(2):  # computed, then taken up
        for edits in ((), (other,), (other, Edit(index, 6.0)), (Edit(index, -6.0),)):
            assert np.abs(studio.render(code, edits, size=128) - plain(*edits)).max() <= 1
    sheet = studio.contact_sheet(index, faces=2, shifts=(-8.0, 8.0))
    own = studio.encode(studio.samples()[1])
    assert np.array_equal(sheet[1, 1], studio.render(own, [Edit(index, 8.0)], size=128))
