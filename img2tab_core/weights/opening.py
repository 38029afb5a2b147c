"""Model files opened: verified ones as networks ready to use, and checkpoints people bring, as tensors only."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.foreign import (
    ARCHIVE,
    NUMPY,
    PICKLE,
    PYTORCH,
    SAFETENSORS,
    WEB_PAGE,
    ZIP,
    damage_as_value_error,
    kind_of,
    open_array,
    read_arrays,
    reason,
)
from img2tab_core.weights.store import find, path, record, remedy

if TYPE_CHECKING:
    import torch

    from img2tab_core.networks.face_descriptor import FaceDescriptor
    from img2tab_core.networks.face_encoder import FaceEncoder
    from img2tab_core.networks.lpips import Lpips
    from img2tab_core.networks.mobilestylegan import MobileStyleGAN

_PYTORCH = (PYTORCH, PICKLE, ZIP)  # its first bytes; PyTorch itself says whether the rest is one
_ENDINGS: dict[str, tuple[str, ...]] = {
    NUMPY: (".npy",),
    ARCHIVE: (".npz",),
    SAFETENSORS: (".safetensors",),
} | dict.fromkeys(_PYTORCH, (".pt", ".pth"))
MOST_SPREAD = 64_000_000  # bytes that tensors may take beyond their file: one row that stands for all layers

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
    """The tensors of a safetensors file, by name, on the CPU. Raises Img2TabError where it is none, or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with damage_as_value_error():
            return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise Img2TabError(
            f"{file.name} must be a safetensors file, got: {reason(error)}. Fetch or save it again."
        ) from error


def open_checkpoint(file: Path) -> dict:
    """A PyTorch checkpoint (.pt, .pth), tensors on the CPU. Refuses one that could run code when opened."""
    kind = kind_of(file)
    if kind not in _PYTORCH:
        raise Img2TabError(
            f"{file.name} must be a PyTorch checkpoint, got {kind}"
            f"{' saved by mistake' if kind == WEB_PAGE else ''}. Download it again, or name another file."
        )
    content = _torch(
        file,
        "Where you trust it, on another one, save its tensors alone: "
        f"c = torch.load({file.name!r}, weights_only=False); torch.save({{k: dict(vars(v)) if k == 'opts' and not "
        "isinstance(v, dict) else v for k, v in c.items() if k in ('state_dict', 'latent_avg', 'opts', 'g_ema')}, "
        "'plain.pt'). Then use that file here.",
    )
    if not isinstance(content, dict):
        raise Img2TabError(f"{file.name} must hold a dictionary of tensors, got {type(content).__name__}.")
    return content


def open_arrays(file: Path) -> object:
    """What a .npy, .npz, .pt, .pth or .safetensors file holds: arrays or tensors, mapped into memory where they can be.

    The first bytes decide which it is, and the name must agree. Nothing in it can run code. Raises Img2TabError where
    there is no such file, it is something else, damaged, or holds objects of Python.
    """
    kind = kind_of(file)
    endings: tuple[str, ...] = _ENDINGS.get(kind, ())
    if file.suffix.lower() not in endings:
        wanted = "a .npy, .npz, .pt or .safetensors file"
        if endings:
            raise Img2TabError(f"{file.name} is {kind}, whatever its name says. Name it {file.stem}{endings[0]}.")
        raise Img2TabError(f"{file.name} must be {wanted}, got {kind}. Save it as one of them.")
    if kind == SAFETENSORS:
        return open_safetensors(file)
    if kind in _PYTORCH:
        return _torch(file, "Save the tensor alone, or as .npy, and use that file.")
    try:
        return open_array(file) if kind == NUMPY else read_arrays(file)
    except (OSError, ValueError) as error:
        raise Img2TabError(
            f"{file.name} must be a whole {endings[0]} file of numbers, got: {reason(error)}. Save it again."
        ) from error


def _torch(file: Path, advice: str) -> object:
    """The only place where PyTorch reads a file of somebody's; advice: where it holds objects of Python."""
    import torch

    damaged = f"{file.name} must be a whole PyTorch file of tensors, got a truncated or damaged one"
    try:
        with damage_as_value_error():
            zipped = zipfile.is_zipfile(file)
            if zipped:
                _must_be_stored(file)
            try:
                # mapped where the format allows it: a checkpoint of a gigabyte is then never in memory twice
                content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
            except pickle.UnpicklingError as error:
                if not _names_objects(error):
                    raise
                raise Img2TabError(
                    f"{file.name} was not opened: it must hold only tensors and plain values, got Python objects, "
                    f"which could run code on this computer. {advice}"
                ) from error
            _must_fit(content, file.stat().st_size)
            return content
    except OSError as error:
        raise Img2TabError(f"{file.name} cannot be read ({reason(error)}). Check the path.") from error
    except ValueError as error:
        raise Img2TabError(f"{damaged}. Download or save it again.") from error


def _names_objects(error: pickle.UnpicklingError) -> bool:
    """Whether PyTorch refused what a file asks for, and did not merely find that it is no pickle."""
    return "nsupported" in str(error) or "allowed" in str(error) or "instantiate" in str(error)


def _must_be_stored(file: Path) -> None:
    """Raises ValueError where a part of the archive is packed: PyTorch packs none, and it could unpack to anything."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if any(member.compress_type or member.file_size != member.compress_size for member in members):
        raise ValueError("its parts are packed")


def _must_fit(content: object, size: int) -> None:
    """Raises ValueError where tensors say that they are far larger than the file, by steps of 0 or sparsely."""
    import torch

    layer, said_bytes = [content], 0
    while layer:
        tensors = [part for part in layer if isinstance(part, torch.Tensor)]
        said_bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        layer = [
            part
            for place in layer
            if isinstance(place, dict | list | tuple)
            for part in (place.values() if isinstance(place, dict) else place)
        ]
    if said_bytes > 4 * size + MOST_SPREAD:
        raise ValueError(f"its tensors are said to take {said_bytes / 1e6:,.0f} MB")


def _loaded(network: N, state: dict[str, torch.Tensor], name: str) -> N:
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise Img2TabError(
            f"The model file {name} does not fit this version of Img2Tab Studio. {remedy(find(name))}"
        ) from error
    return network.eval().requires_grad_(False)


def looks_like_checkpoint(file: Path) -> bool:
    """A zip as PyTorch writes it since 1.6, or a pickle, as before."""
    return kind_of(file) in _PYTORCH
