"""The published PyTorch files: e4e, pSp and rosinality checkpoints, IR-SE50 and MoCo v2, opened strictly.

A file is converted once, under its sha256, to safetensors with a JSON record beside it; from then on only these are
opened. What a file must hold is read from the networks themselves: every tensor by name and shape, none besides.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from img2tab_core import weights
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import hold, home, make_folder, read_json, sha256_of, whole_folder, write_json
from img2tab_core.base.foreign import printable
from img2tab_core.networks.e4e import ENCODERS, W_DIM, new_encoder
from img2tab_core.networks.ir_se50 import IrSe50
from img2tab_core.networks.resnet50 import ResNet50Features, moco_state
from img2tab_core.networks.stylegan2 import StyleGAN2

CONVERSION = 1  # raise it when names or records change
NAMED = 5  # of what is missing or too much, so many are named
TENSORS, RECORD = "weights.safetensors", "record.json"
STYLEGAN2, IR_SE50, MOCO = "stylegan2", "ir-se50", "moco-v2"
TITLES = {
    STYLEGAN2: "an e4e or pSp checkpoint (state_dict, latent_avg, opts) or a StyleGAN2 generator (g_ema, latent_avg)",
    IR_SE50: "the IR-SE50 face recogniser (model_ir_se50.pth)",
    MOCO: "a MoCo v2 ResNet-50 (state_dict with module.encoder_q.*)",
}
COUNTER = "num_batches_tracked"  # files older than PyTorch 0.4.1 lack it; unused

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class StyleGAN2Parts:
    """What a StyleGAN2 checkpoint holds.

    encoder: one of `networks.e4e`, None where the file has a generator only; encoder_type: its name in `opts`, "" then.
    latent_avg: float32 (n_latent, 512), what is added to the encoder's answer. source: name of the file it came from;
    key: sha256 of that file.
    """

    generator: StyleGAN2
    encoder: nn.Module | None
    encoder_type: str
    latent_avg: Tensor
    source: str
    key: str


def convert(file: Path) -> Path:
    """The folder that holds a StyleGAN2 checkpoint in our own form; made if this file was never opened before."""
    return _converted(file, STYLEGAN2)


def open_stylegan2(file: Path) -> StyleGAN2Parts:
    """Generator and, where the file has one, encoder: evaluation mode, no gradients, float32."""
    return open_parts(convert(file))


def open_parts(folder: Path) -> StyleGAN2Parts:
    """What `convert` wrote."""
    state, record = _stored(folder)
    n_latent, kind = record["n_latent"], record["encoder_type"]
    generator = _filled(lambda: StyleGAN2(record["size"]), _part(state, "decoder."))
    encoder = _filled(lambda: new_encoder(kind, n_latent), _part(state, "encoder.")) if kind else None
    return StyleGAN2Parts(generator, encoder, kind, state["latent_avg"], record["source"], record["sha256"])


def open_ir_se50(file: Path) -> IrSe50:
    """The face recogniser of an identity loss: evaluation mode, no gradients to its weights, float32."""
    return _filled(IrSe50, _stored(_converted(file, IR_SE50))[0])


def open_moco(file: Path) -> ResNet50Features:
    """The features of a similarity loss: evaluation mode, no gradients to its weights, float32."""
    return _filled(ResNet50Features, _stored(_converted(file, MOCO))[0])


def record_of(folder: Path) -> dict:
    """What `convert` noted of a checkpoint: kind, size in px, encoder_type, name and sha256 of the file; {} if none."""
    return read_json(folder / RECORD)


def discard(folder: Path) -> None:
    """Delete a converted checkpoint; the file it came from stays."""
    shutil.rmtree(folder, ignore_errors=True)


def _stored(folder: Path) -> tuple[dict[str, Tensor], dict]:
    mapped = weights.open_safetensors(folder / TENSORS)
    # in memory: were they read from the file as they are needed, its damage would change what is drawn, or end us
    return {name: mapped.pop(name).clone() for name in list(mapped)}, record_of(folder)


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _filled(make: Callable[[], N], state: dict[str, Tensor]) -> N:
    """The network with these very tensors: nothing is initialised first, nothing copied, so memory is that of one."""
    with torch.device("meta"):
        network = make()
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


# --- converting ---------------------------------------------------------------------------------------


def _converted(file: Path, kind: str) -> Path:
    if not file.is_file():
        raise Img2TabError(f"There is no file {file}. Check the path.")
    key = sha256_of(file)
    place = home() / "converted"
    folder = place / key[:16]
    try:
        make_folder(place)
        with open(place / f".{key[:16]}.lock", "w") as lock:  # two at once: the second takes what the first made
            hold(lock)
            record = record_of(folder)
            if record.get("conversion") != CONVERSION or record.get("sha256") != key:
                _convert(file, key, folder)
    except OSError as error:
        raise Img2TabError(
            f"{file.name} could not be converted into {place} ({error.strerror or error}). It needs as much space as "
            "the file itself; free some, or name another place with IMG2TAB_HOME."
        ) from error
    record = record_of(folder)["kind"]
    if record != kind:
        raise Img2TabError(f"{file.name} must be {TITLES[kind]}, got {TITLES[record]}. Name another file.")
    return folder


def _convert(file: Path, key: str, folder: Path) -> None:
    """Write the converted form whole or not at all."""
    from safetensors.torch import save_file

    state, facts = _recognised(file.name, weights.open_checkpoint(file))
    with whole_folder(folder) as new:
        save_file({name: value.contiguous() for name, value in state.items()}, new / TENSORS)
        write_json(
            new / RECORD,
            {"conversion": CONVERSION, "sha256": key, "source": file.name, "tensors": len(state), **facts},
        )


def _recognised(name: str, content: dict) -> tuple[dict[str, Tensor], dict]:
    """A checkpoint's tensors under our names, checked, and what the record says of them."""
    state = content.get("state_dict")
    if isinstance(content.get("g_ema"), Mapping):
        return _generator_only(name, content)
    if isinstance(state, Mapping) and any(str(key).startswith("module.encoder_q.") for key in state):
        return _strict(name, MOCO, moco_state(dict(state)), ResNet50Features), {"kind": MOCO}
    if isinstance(state, Mapping) and any(str(key).startswith("decoder.") for key in state):
        return _encoder_and_generator(name, content)
    if "input_layer.0.weight" in content:
        return _strict(name, IR_SE50, content, IrSe50), {"kind": IR_SE50}
    keys = ", ".join(printable(key) for key in list(content)[:NAMED]) or "nothing"
    raise Img2TabError(f"{name} must be {'; or '.join(TITLES.values())}. It holds {keys}. Name another file.")


def _encoder_and_generator(name: str, content: dict) -> tuple[dict[str, Tensor], dict]:
    state, opts = dict(content["state_dict"]), content.get("opts")
    opts = opts if isinstance(opts, Mapping) else {}
    kind = opts.get("encoder_type")
    if not isinstance(kind, str) or kind not in ENCODERS:
        raise Img2TabError(
            f"The opts of {name} must name an encoder_type, one of {', '.join(ENCODERS)}, got {kind!r}. "
            "Other encoders are not known here."
        )
    size = _size_of(name, state, "decoder.")
    n_latent = StyleGAN2.latents(size)

    def both() -> nn.Module:
        return nn.ModuleDict({"encoder": new_encoder(kind, n_latent), "decoder": StyleGAN2(size)})

    checked = _strict(name, STYLEGAN2, state, both)
    average = content.get("latent_avg")
    if opts.get("start_from_latent_avg") is False:  # trained to say w itself
        average = torch.zeros(n_latent, W_DIM)
    return checked | {"latent_avg": _average(name, average, checked, size)}, {
        "kind": STYLEGAN2,
        "size": size,
        "n_latent": n_latent,
        "encoder_type": kind,
    }


def _generator_only(name: str, content: dict) -> tuple[dict[str, Tensor], dict]:
    state = {f"decoder.{key}": value for key, value in content["g_ema"].items()}
    size = _size_of(name, state, "decoder.")
    checked = _strict(name, STYLEGAN2, state, lambda: nn.ModuleDict({"decoder": StyleGAN2(size)}), prefix="decoder.")
    return checked | {"latent_avg": _average(name, content.get("latent_avg"), checked, size)}, {
        "kind": STYLEGAN2,
        "size": size,
        "n_latent": StyleGAN2.latents(size),
        "encoder_type": "",
    }


def _size_of(name: str, state: Mapping[str, Tensor], prefix: str) -> int:
    """Side of the pictures, px, from the number of toRGB layers: what `opts` says may be missing."""
    layers = {key.split(".")[2] for key in state if key.startswith(f"{prefix}to_rgbs.")}
    size = 4 << len(layers)
    if not 32 <= size <= 1024:
        raise Img2TabError(
            f"The generator in {name} must draw 32 to 1024 px, got one of {size} px ({len(layers)} "
            "doublings). Name another file."
        )
    return size


def _average(name: str, average: Any, state: Mapping[str, Tensor], size: int) -> Tensor:
    """latent_avg float32 (n_latent, 512); computed as the mean of 10,000 w where the file has none."""
    n_latent = StyleGAN2.latents(size)
    if average is None:
        generator = _filled(lambda: StyleGAN2(size), _part(state, "decoder."))
        noise = torch.randn(10_000, W_DIM, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            average = generator.mapping(noise).mean(dim=0).clone()
    if (
        not isinstance(average, Tensor)
        or average.shape[-1:] != (W_DIM,)
        or average.numel() not in (W_DIM, n_latent * W_DIM)
    ):
        shape = tuple(average.shape) if isinstance(average, Tensor) else type(average).__name__
        raise Img2TabError(f"latent_avg in {name} must be ({W_DIM},) or ({n_latent}, {W_DIM}), got {shape}.")
    if average.is_sparse or average.is_complex() or not torch.isfinite(average.float()).all():
        raise Img2TabError(f"latent_avg in {name} must hold finite numbers, got others. Download it again.")
    return average.float().reshape(-1, W_DIM).expand(n_latent, -1).contiguous()


def _strict(
    name: str, kind: str, state: Mapping[str, Any], make: Callable[[], nn.Module], *, prefix: str = ""
) -> dict[str, Tensor]:
    """The tensors, float32, if they are exactly those of the network; else a sentence that names the first five.

    prefix: what we put before the file's own names, left out of the sentence.
    """
    with torch.device("meta"):
        wanted = make().state_dict()
    missing = [key for key in wanted if key not in state]
    extra = [str(key) for key in state if key not in wanted]
    if kind != STYLEGAN2:
        missing = [key for key in missing if not key.endswith(COUNTER)]
    odd = [
        key
        for key in wanted
        if key in state
        and (
            not isinstance(state[key], Tensor)
            or state[key].shape != wanted[key].shape
            or state[key].layout != torch.strided
            or state[key].is_complex()
        )
    ]
    faults = [
        f"{len(keys):,} {word} ({', '.join(key.removeprefix(prefix) for key in keys[:NAMED])}"
        f"{', ...' if len(keys) > NAMED else ''})"
        for word, keys in (("missing", missing), ("too many", extra), ("of another shape", odd))
        if keys
    ]
    if faults:
        raise Img2TabError(
            f"{name} looks like {TITLES[kind]}, but its tensors are not those: {'; '.join(faults)}. "
            "Download it again, or name another file."
        )
    checked = {}
    for key, like in wanted.items():
        value = state[key] if key in state else torch.zeros(like.shape, dtype=like.dtype)
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise Img2TabError(f"The tensor {key} in {name} holds values that are not finite. Download it again.")
        checked[key] = value.to(like.dtype)
    return checked
