"""Train the encoder of a StyleGAN2 on aligned pictures, so that what it says draws them again; resumable, seeded.

Source of the losses and of the learning rate: Tov et al. 2021 (e4e, arXiv 2102.02766). Left out of it: the
discriminator of w, and the deltas that join one by one.
"""

from __future__ import annotations

import copy
import csv
import json
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2tab_core.base.errors import Img2TabError
from img2tab_core.networks.e4e import INPUT_SIZE, Encoder4Editing, new_encoder
from img2tab_core.networks.face_encoder import to_input
from img2tab_core.networks.ir_se50 import IrSe50
from img2tab_core.networks.stylegan2 import StyleGAN2
from img2tab_core.training.encoders.aligned_pictures import AlignedPictures
from img2tab_core.training.encoders.reconstruction import PARTS, LossWeights, ReconstructionLoss

CHECKPOINT, CURVE = "checkpoint.pt", "curve.csv"
COLUMNS = ("total", *PARTS, "delta", "w")
KEEP_EVERY = 10.0  # minutes: no more work than this is ever lost
TRUNCATION = (0.6, 1.0)  # of generated pictures, as for the bundled encoder


@dataclass(frozen=True)
class E4eRecipe:
    """Everything that decides the weights, beside the pictures and the start."""

    minutes: float = 70.0  # of training,
    steps: int | None = None  # or so many steps: then the same seed gives the same weights
    batch: int = 8
    rate: float = 1e-4  # of Adam
    losses: LossWeights = field(default_factory=LossWeights)
    generated: int = 0  # pictures of the generator that join the given ones
    seed: int = 0
    report_every: int = 250  # steps
    measured: int = 64  # pictures of the held-out third that the curve measures


@dataclass(frozen=True)
class E4eProgress:
    """One line of the curve: means since the line before, and over held-out pictures; {} without any."""

    step: int
    minutes: float
    seen: dict[str, float]
    held_out: dict[str, float]


def train_e4e(
    pictures: AlignedPictures,
    out: Path,
    recipe: E4eRecipe,
    *,
    encoder: nn.Module,
    generator: StyleGAN2,
    latent_avg: Tensor,
    loss: ReconstructionLoss,
    report: Callable[[E4eProgress], None] | None = None,
) -> nn.Module:
    """Fit a copy of the encoder; returns it in evaluation mode, on the CPU.

    encoder: faces (B, 3, 256, 256) in [-1, 1] -> w about latent_avg, (B, n_latent, 512) or (B, 512). latent_avg:
    float32 (n_latent, 512). generator and loss are frozen. out: folder for checkpoint.pt (training goes on from it
    if it is there) and curve.csv. Only what the last checkpoint holds outlives a stop.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = copy.deepcopy(encoder).requires_grad_(True).to(device)
    task = _Task(
        pictures, recipe, generator.requires_grad_(False).eval().to(device), latent_avg.to(device), loss.to(device)
    )
    optimizer = torch.optim.Adam(encoder.parameters(), lr=recipe.rate)
    source = torch.Generator().manual_seed(recipe.seed)
    step, spent, recipes, curve = 0, 0.0, [], []
    out.mkdir(parents=True, exist_ok=True)
    if (out / CHECKPOINT).exists():
        saved = _opened(out / CHECKPOINT, encoder, latent_avg)
        optimizer.load_state_dict(saved["optimizer"])
        optimizer.param_groups[0]["lr"] = recipe.rate
        source.set_state(saved["source"])
        step, spent = saved["step"], saved["minutes"]
        recipes, curve = json.loads(saved["recipes"]), json.loads(saved["curve"])
    now = json.loads(json.dumps(asdict(recipe)))
    if not recipes or {name: value for name, value in recipes[-1].items() if name != "from_step"} != now:
        recipes.append({"from_step": step, **now})

    started, kept, seen = time.monotonic() - spent * 60, spent, []
    while step < recipe.steps if recipe.steps else spent < recipe.minutes:
        encoder.train()
        total, parts = task.losses(encoder, *task.batch(source))
        if not torch.isfinite(total):
            raise Img2TabError(
                f"The loss was no number any more after {step} steps. Start again in another --out with a lower --rate."
            )
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        step += 1
        seen.append({name: value.item() for name, value in parts.items()})
        spent = (time.monotonic() - started) / 60
        last = step >= recipe.steps if recipe.steps else spent >= recipe.minutes
        if step % recipe.report_every == 0 or last or spent - kept > KEEP_EVERY:
            line = E4eProgress(step, spent, _means(seen), task.measured(encoder))
            seen, kept = [], spent
            curve.append(_row(line))
            write_checkpoint(
                out / CHECKPOINT,
                {
                    "encoder": encoder.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "source": source.get_state(),
                    "step": step,
                    "minutes": spent,
                    "recipes": json.dumps(recipes),
                    "curve": json.dumps(curve),
                    "latent_avg": latent_avg,
                },
            )
            _write_curve(out / CURVE, curve)
            if report:
                report(line)
    return encoder.cpu().eval()


class _Task:
    """What the encoder has to do: the pictures, their augmentation, and the losses on what it says of them."""

    def __init__(
        self,
        pictures: AlignedPictures,
        recipe: E4eRecipe,
        generator: StyleGAN2,
        latent_avg: Tensor,
        loss: ReconstructionLoss,
    ) -> None:
        self.pixels, self.recipe, self.loss = pictures.pixels, recipe, loss
        self.generator, self.latent_avg = generator, latent_avg
        self.side = min(generator.size, INPUT_SIZE)  # a larger generator stops there
        self.rows = np.flatnonzero(~pictures.held_out)
        self.unseen = np.flatnonzero(pictures.held_out)[: recipe.measured]
        own = torch.Generator().manual_seed(recipe.seed + 1)
        self.z = torch.randn(recipe.generated, 512, generator=own)
        self.truncation = torch.empty(recipe.generated).uniform_(*TRUNCATION, generator=own)
        if not len(self.rows) + len(self.z):
            raise Img2TabError("Training needs pictures, got none. Give folders of them, or --generated N.")

    def batch(self, source: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Faces (B, 3, 256, 256) in [-1, 1], and the w (G, n_latent, 512) of the last G, which are generated."""
        chosen = torch.randint(len(self.rows) + len(self.z), (self.recipe.batch,), generator=source)
        mirrored = torch.rand(len(chosen), generator=source) < 0.5
        is_photo = chosen < len(self.rows)
        faces = self._photos(self.rows[chosen[is_photo].numpy()])
        faces = torch.where(mirrored[is_photo].to(faces.device)[:, None, None, None], faces.flip(3), faces)
        if is_photo.all():
            return faces, None
        drawn, w = self._generated(chosen[~is_photo] - len(self.rows))  # not mirrored: their w would be another
        return torch.cat([faces, drawn]), w

    def losses(self, encoder: nn.Module, faces: Tensor, w: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, and every part of it with the total; means over the batch, 0-d."""
        weights = self.recipe.losses
        said = encoder(faces)  # (B, n_latent, 512) or (B, 512)
        w_plus = self.latent_avg + (said if said.ndim == 3 else said[:, None])
        drawn = self.generator.synthesis(self.generator.styles(w_plus), size=self.side)
        loss = self.loss(drawn, faces)
        parts, total = dict(loss.parts), loss.total
        if isinstance(encoder, Encoder4Editing) and weights.delta:
            parts["delta"] = deltas(said)
            total = total + weights.delta * parts["delta"]
        if w is not None and weights.w:
            parts["w"] = (w_plus[-len(w) :] - w).square().mean()
            total = total + weights.w * parts["w"] * (len(w) / len(faces))
        return total, {"total": total, **parts}

    @torch.no_grad()
    def measured(self, encoder: nn.Module) -> dict[str, float]:
        """The losses on pictures that training never sees; {} without any."""
        encoder.eval()
        rows = []
        for start in range(0, len(self.unseen), self.recipe.batch):
            faces = self._photos(self.unseen[start : start + self.recipe.batch])
            parts = self.losses(encoder, faces, None)[1]
            rows += [{name: value.item() for name, value in parts.items()}] * len(faces)
        return _means(rows)

    def _photos(self, rows: np.ndarray) -> Tensor:
        faces = to_input(torch.from_numpy(np.array(self.pixels[rows])), INPUT_SIZE)
        return faces.to(self.latent_avg.device)

    @torch.no_grad()
    def _generated(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        device = self.latent_avg.device
        w = self.generator.mapping(self.z[rows].to(device))[:, None]  # (G, 1, 512)
        w_plus = self.latent_avg + self.truncation[rows].to(device)[:, None, None] * (w - self.latent_avg)
        drawn = self.generator.synthesis(self.generator.styles(w_plus), size=self.side).clamp(-1, 1)
        if self.side != INPUT_SIZE:
            drawn = F.interpolate(drawn, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear")
        return drawn, w_plus


def deltas(w_plus: Tensor) -> Tensor:
    """How far each w (B, n, 512) is from the first, summed over the n, the mean of the batch; 0-d."""
    return torch.linalg.vector_norm(w_plus[:, 1:] - w_plus[:, :1], dim=2).sum(dim=1).mean()


def encoder_from_ir_se50(kind: str, n_styles: int, recogniser: IrSe50) -> nn.Module:
    """A fresh encoder of this kind whose body knows faces already; its heads are random (torch's own seed)."""
    encoder = new_encoder(kind, n_styles)
    for part in ("input_layer", "body"):
        encoder.get_submodule(part).load_state_dict(recogniser.get_submodule(part).state_dict())
    return encoder


def save_e4e(
    file: Path, *, encoder: nn.Module, encoder_type: str, generator: StyleGAN2, latent_avg: Tensor, record: dict
) -> Path:
    """Write a checkpoint laid out as the published e4e ones, and beside it the JSON record of how it was made."""
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    state |= {f"decoder.{name}": value for name, value in generator.state_dict().items()}
    opts = {
        "encoder_type": encoder_type,
        "stylegan_size": generator.size,
        "start_from_latent_avg": True,
        "checkpoint_path": None,
        "device": "cpu",
    }
    write_checkpoint(
        file,
        {
            "state_dict": {name: value.detach().cpu() for name, value in state.items()},
            "latent_avg": latent_avg.detach().cpu(),
            "opts": opts,
        },
    )
    file.with_suffix(".json").write_text(json.dumps({"file": file.name, "opts": opts, **record}, indent=1))
    return file


def write_checkpoint(file: Path, content: dict) -> None:
    """Write it whole or not at all: what was there stays until then."""
    partial = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, partial)
        partial.replace(file)
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
        partial.unlink(missing_ok=True)
        raise Img2TabError(
            f"{file} could not be written ({error}). Make space, then run the same command again."
        ) from error


def read_e4e_recipes(out: Path) -> list[dict]:
    """Every recipe the training in `out` followed, with "from_step" where it began."""
    return json.loads(torch.load(out / CHECKPOINT, weights_only=True, map_location="cpu", mmap=True)["recipes"])


def _opened(file: Path, encoder: nn.Module, latent_avg: Tensor) -> dict:
    """The checkpoint to go on from, its weights put into the encoder."""
    try:
        saved = torch.load(file, weights_only=True, map_location="cpu")
        is_same = torch.equal(saved["latent_avg"], latent_avg.cpu())
        encoder.load_state_dict(saved["encoder"])
    except (RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise Img2TabError(
            f"{file} is damaged, or of an encoder of another kind than this one. Choose another --out."
        ) from error
    if not is_same:
        raise Img2TabError(f"{file} is of a training for another backbone. Choose another --out.")
    return saved


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each part over the lines that have it."""
    names = [name for name in COLUMNS if any(name in row for row in rows)]
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def _row(line: E4eProgress) -> dict[str, float]:
    both = line.seen | {f"held_out_{name}": value for name, value in line.held_out.items()}
    return {"step": line.step, "minutes": round(line.minutes, 3)} | {name: round(v, 6) for name, v in both.items()}


def _write_curve(file: Path, curve: list[dict[str, float]]) -> None:
    """All lines, from the checkpoint: a part without a value stays empty."""
    columns = ("step", "minutes", *COLUMNS, *(f"held_out_{name}" for name in COLUMNS if name != "w"))
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, columns, restval="")
        writer.writeheader()
        writer.writerows(curve)
