"""Model files opened: verified ones as networks ready to use, and checkpoints people bring, as tensors only."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from img2tab_core.base.errors import Img2TabError
from img2tab_core.weights.store import find, path, record, remedy

if TYPE_CHECKING:
    import torch

    from img2tab_core.networks.face_descriptor import FaceDescriptor
    from img2tab_core.networks.face_encoder import FaceEncoder
    from img2tab_core.networks.lpips import Lpips
    from img2tab_core.networks.mobilestylegan import MobileStyleGAN

# a network that is opened; PyTorch itself is not imported for its name
N = TypeVar("N", bound="torch.nn.Module")


def open_generator() -> MobileStyleGAN:
    """The default generator, ready to render: evaluation mode, no gradients, float32, channels last."""
    from img2tab_core.networks.mobilestylegan import MobileStyleGAN
    from img2tab_core.networks.ops import channels_last

    state = open_safetensors(path("mobilestylegan-ffhq")) | open_safetensors(path("preview-heads"))
    network = _loaded(MobileStyleGAN(), state, "mobilestylegan-ffhq")
    return channels_last(network)


def open_encoder() -> FaceEncoder:
    """The default encoder, ready to encode: evaluation mode, no gradients, float32 (stored as float16)."""
    from img2tab_core.networks.face_encoder import EncoderConfig, FaceEncoder
    from img2tab_core.networks.ops import channels_last
    from img2tab_core.weights.dlib_dat import read_descriptor

    state = open_safetensors(path("face-encoder"))
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    try:
        config = EncoderConfig.of(record("face-encoder")["config"])
    except (KeyError, TypeError) as error:
        raise Img2TabError(
            'pretrained_models/face-encoder.json must hold a "config" this version knows. '
            "Restore it with `git checkout -- pretrained_models`."
        ) from error
    if config.identity:
        known = read_descriptor(path("face-descriptor"))
        state |= {f"identity.{key}": value for key, value in known.items()}
    return channels_last(_loaded(FaceEncoder(config), state, "face-encoder"))


def open_descriptor() -> FaceDescriptor:
    """dlib's face descriptor as a network: evaluation mode, no gradients to its weights, float32."""
    from img2tab_core.networks.face_descriptor import FaceDescriptor
    from img2tab_core.weights.dlib_dat import read_descriptor

    return _loaded(FaceDescriptor(), read_descriptor(path("face-descriptor")), "face-descriptor")


def open_lpips() -> Lpips:
    """LPIPS on AlexNet: evaluation mode, no gradients to its weights, float32."""
    from img2tab_core.networks.lpips import Lpips

    return _loaded(Lpips(), open_safetensors(path("lpips-alex")), "lpips-alex")


def open_safetensors(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, by name, on the CPU."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, FileNotFoundError) as error:
        raise Img2TabError(f"{file.name} must be a safetensors file, got: {error}. Fetch or save it again.") from error


def open_checkpoint(file: Path) -> dict:
    """A PyTorch checkpoint (.pt, .pth), tensors on the CPU. Refuses one that could run code when opened."""
    import pickle

    import torch

    if not file.is_file():
        raise Img2TabError(f"There is no file {file}. Check the path.")
    if not looks_like_checkpoint(file):
        raise Img2TabError(
            f"{file.name} must be a PyTorch checkpoint, got something else (a web page saved by mistake?). "
            "Download it again."
        )
    try:
        # mapped where the format allows it: a checkpoint of a gigabyte is then never in memory twice
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise Img2TabError(
            f"{file.name} was not opened: it must hold only tensors and plain values, got Python objects, "
            "which could run code on this computer. Where you trust it, on another one, save its tensors alone: "
            f"c = torch.load({file.name!r}, weights_only=False); torch.save({{k: dict(vars(v)) if k == 'opts' and not "
            "isinstance(v, dict) else v for k, v in c.items() if k in ('state_dict', 'latent_avg', 'opts', 'g_ema')}, "
            "'plain.pt'). Then use that file here."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise Img2TabError(
            f"{file.name} must be a whole PyTorch checkpoint, got a truncated or damaged one. Download it again."
        ) from error
    if not isinstance(content, dict):
        raise Img2TabError(f"{file.name} must hold a dictionary of tensors, got {type(content).__name__}.")
    return content


def _loaded(network: N, state: dict[str, torch.Tensor], name: str) -> N:
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise Img2TabError(
            f"The model file {name} does not fit this version of Img2Tab Studio. {remedy(find(name))}"
        ) from error
    return network.eval().requires_grad_(False)


def looks_like_checkpoint(file: Path) -> bool:
    """A zip (PyTorch since 1.6) or a pickle (before)."""
    with open(file, "rb") as stream:
        start = stream.read(4)
    return start == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04"))
