"""`img2tab train-encoder --backbone`: from its options to a checkpoint that `img2tab backbone add` opens."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from img2tab_core.base.errors import Cancelled, Img2TabError

if TYPE_CHECKING:
    from img2tab_core.training.encoders.aligned_pictures import AlignedPictures
    from img2tab_core.training.encoders.reconstruction import LossWeights, ReconstructionLoss
    from img2tab_core.training.encoders.train_e4e import E4eProgress, E4eRecipe

KIND = "Encoder4Editing"  # of a fresh encoder where the backbone has none


@dataclass(frozen=True)
class Sources:
    """backbone: a checkpoint or a name; photos: aligned pictures. The rest are files, None for the usual ones.

    from_ir_se50: start from its body instead of the backbone's own encoder.
    """

    backbone: str
    photos: list[Path]
    ir_se50: Path | None = None
    moco: Path | None = None
    from_ir_se50: Path | None = None


def train_backbone_encoder(
    sources: Sources,
    out: Path,
    recipe: E4eRecipe,
    *,
    facts: dict,
    say: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Train, write OUT/encoder.pt and its record (facts join it), and return the sentence that sums it up."""
    import torch

    from img2tab_core.backbones.backbone import StyleGAN2Backbone, open_backbone
    from img2tab_core.backbones.checkpoints import open_ir_se50
    from img2tab_core.networks.e4e import INPUT_SIZE
    from img2tab_core.networks.stylegan2 import StyleGAN2
    from img2tab_core.training.encoders.aligned_pictures import no_pictures, read_aligned
    from img2tab_core.training.encoders.train_e4e import (
        CHECKPOINT,
        encoder_from_ir_se50,
        read_e4e_recipes,
        save_e4e,
        train_e4e,
    )

    _check(sources, recipe)
    loss = _loss_of(sources, recipe.losses)
    recogniser = open_ir_se50(sources.from_ir_se50) if sources.from_ir_se50 else None
    parts = cast(StyleGAN2Backbone, open_backbone(sources.backbone))  # the default one has a training of its own
    generator = cast(StyleGAN2, parts.generator)
    kind, encoder = parts.encoder_type or KIND, parts.encoder
    if recogniser is not None:
        torch.manual_seed(recipe.seed)
        encoder = encoder_from_ir_se50(kind, generator.n_latent, recogniser)
    if encoder is None:
        raise Img2TabError(
            f"{sources.backbone} has no encoder to go on with. Start a fresh one: --from-ir-se50 FILE, with the body "
            "of model_ir_se50.pth."
        )
    lines: list[E4eProgress] = []

    def report(line: E4eProgress) -> None:
        lines.append(line)
        say(described(line))

    try:
        pictures = no_pictures(INPUT_SIZE)
        if sources.photos:
            pictures = read_aligned(sources.photos, out, side=INPUT_SIZE, progress=progress)
            say(_counted(pictures))
        model = train_e4e(
            pictures,
            out,
            recipe,
            encoder=encoder,
            generator=generator,
            latent_avg=parts.latent_avg,
            loss=loss,
            report=report,
        )
    except KeyboardInterrupt as error:
        kept = (
            f"What was trained until the last line is in {out / CHECKPOINT}: run the same command again to go on."
            if (out / CHECKPOINT).exists()
            else "Nothing was trained yet."
        )
        raise Cancelled(f"Stopped. {kept}") from error
    file = save_e4e(
        out / "encoder.pt",
        encoder=model,
        encoder_type=kind,
        generator=generator,
        latent_avg=parts.latent_avg,
        record=facts
        | {
            "backbone": sources.backbone,
            "recipe": asdict(recipe),
            "recipes": read_e4e_recipes(out),
            "pictures": int((~pictures.held_out).sum()),
            "held_out_pictures": int(pictures.held_out.sum()),
            "skipped": [{"photo": photo, "reason": reason} for photo, reason in pictures.skipped],
            "started_from": f"the body of {sources.from_ir_se50.name}"
            if sources.from_ir_se50
            else "the backbone's own encoder",
            "curve": _curve(out / CHECKPOINT),
        },
    )
    told = f"{described(lines[-1])}. " if lines else "It was trained so far already. "
    return f"{told}The encoder is in {file}: `img2tab backbone add {file} --name NAME` makes it a backbone."


def described(line: E4eProgress) -> str:
    """One line of the curve, for a person."""

    def parts(values: dict[str, float]) -> str:
        return "  ".join(f"{name} {value:.4f}" for name, value in values.items())

    held_out = f"  | held out: {parts(line.held_out)}" if line.held_out else ""
    return f"step {line.step}  {line.minutes:.1f} min  {parts(line.seen)}{held_out}"


def _check(sources: Sources, recipe: E4eRecipe) -> None:
    """What can be told before any file is opened."""
    weights = recipe.losses
    if not (weights.l2 or weights.lpips or weights.identity or weights.moco):
        raise Img2TabError("Nothing is to be learnt: one of --l2, --lpips, --identity and --moco must be above 0.")
    if not sources.photos and not recipe.generated:
        raise Img2TabError(
            "There is no picture to train on. Name folders of aligned pictures (JPEG, PNG, ...), or let the backbone "
            "draw some: --generated N."
        )


def _loss_of(sources: Sources, weights: LossWeights) -> ReconstructionLoss:
    from img2tab_core import weights as files
    from img2tab_core.backbones.checkpoints import open_ir_se50, open_moco
    from img2tab_core.training.encoders.reconstruction import ReconstructionLoss

    if weights.lpips and files.status(files.find("lpips-alex")) != "ready":
        raise Img2TabError(
            "The loss --lpips needs the network LPIPS. Run `img2tab weights fetch lpips-alex` (64 MB), or train "
            "without it: --lpips 0."
        )
    identity = _file("ir-se50", sources.ir_se50, "--identity", "--ir-se50") if weights.identity else None
    moco = _file("moco-v2", sources.moco, "--moco", "--moco-weights") if weights.moco else None
    return ReconstructionLoss(
        weights,
        lpips=files.open_lpips() if weights.lpips else None,
        identity=open_ir_se50(identity) if identity else None,
        moco=open_moco(moco) if moco else None,
    )


def _file(name: str, given: Path | None, option: str, with_file: str) -> Path:
    """The weights a person gave, or the manifest's if they are here."""
    from img2tab_core import weights as files

    if given is not None:
        return given
    if files.status(files.find(name)) != "ready":
        raise Img2TabError(
            f"The loss {option} needs the network {name}. Run `img2tab weights fetch {name}`, name a file you have: "
            f"{with_file} FILE, or train without it: {option} 0."
        )
    return files.path(name)


def _counted(pictures: AlignedPictures) -> str:
    unseen = int(pictures.held_out.sum())
    said = f"{len(pictures.held_out) - unseen:,} pictures to train on, {unseen:,} that only measure"
    if not pictures.skipped:
        return said
    file, reason = pictures.skipped[0]
    return f"{said}; {len(pictures.skipped):,} skipped, the first {Path(file).name}: {reason}"


def _curve(checkpoint: Path) -> list[dict]:
    import torch

    return json.loads(torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)["curve"])
