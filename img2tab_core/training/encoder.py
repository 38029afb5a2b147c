"""Train the face encoder on generated pairs (face, w); resumable, seeded, with its curve as CSV."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2tab_core.errors import Img2TabError
from img2tab_core.networks.face_encoder import EncoderConfig, FaceEncoder, to_input
from img2tab_core.training.augment import augment
from img2tab_core.training.pairs import count_rendered
from img2tab_core.training.shipping import ship


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    minutes: float = 40.0          # the cosine schedule ends here, whatever the machine reached,
    steps: int | None = None       # or after so many steps: then the same seed gives the same weights
    batch: int = 64
    rate: float = 2e-3
    weight_decay: float = 0.05
    clean_share: float = 0.25      # batches that are not augmented
    average: float = 0.999         # of the weights that are kept (exponential moving average)
    seed: int = 0
    report_every: int = 250        # steps


@dataclass
class Progress:
    """One line of the curve."""

    step: int
    minutes: float
    loss: float
    r2: float
    r2_augmented: float
    pairs: int


def train_encoder(
    pairs: list[Path],
    held_out: Path,
    out: Path,
    recipe: Recipe,
    *,
    report: Callable[[Progress], None] | None = None,
) -> FaceEncoder:
    """Fit an encoder on folders of `render_pairs`; returns it with averaged weights, float32, eval.

    held_out: a folder whose first 1,000 faces measure R2 and are never trained on. out: folder for
    checkpoint.pt (training goes on from it if it is there) and curve.csv.
    """
    torch.manual_seed(recipe.seed)
    size = recipe.encoder.size
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    index, (test_faces, test_w) = _rendered(pairs), _held_out(held_out, size)
    w = [np.load(folder / "w.npy") for folder in pairs]
    faces = [np.load(folder / "faces.npy", mmap_mode="r") for folder in pairs]
    if len(index) < recipe.batch:
        raise Img2TabError(f"Training needs at least {recipe.batch} rendered pairs, got {len(index)}. Render more.")
    out.mkdir(parents=True, exist_ok=True)
    all_w = np.concatenate(w)

    model = FaceEncoder(recipe.encoder).to(device, memory_format=torch.channels_last)
    model.mean_w.copy_(torch.from_numpy(all_w.mean(axis=0)))
    variance = float(all_w.var(axis=0).mean())
    averaged = FaceEncoder(recipe.encoder).to(device, memory_format=torch.channels_last).eval()
    averaged.load_state_dict(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True)
    source = torch.Generator().manual_seed(recipe.seed)
    step, spent, recipes = 0, 0.0, []
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        try:
            model.load_state_dict(saved["model"])
        except RuntimeError as error:
            raise Img2TabError(
                f"{checkpoint} is of an encoder of another shape than this recipe's. Choose another --out."
            ) from error
        averaged.load_state_dict(saved["averaged"])
        optimizer.load_state_dict(saved["optimizer"])
        source.set_state(saved["source"])
        step, spent, recipes = saved["step"], saved["minutes"], _recipes_in(saved)
    recipes = _with_recipe(recipes, recipe, step)
    test_augmented = augment(test_faces, torch.Generator().manual_seed(1))

    started, losses = time.monotonic() - spent * 60, []
    while True:
        minutes = (time.monotonic() - started) / 60
        share = min(step / recipe.steps if recipe.steps else minutes / recipe.minutes, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * min(1.0, (step + 1) / 300) * (0.5 * (1 + math.cos(math.pi * share)) + 1e-3)
        chosen = index[torch.randint(len(index), (recipe.batch,), generator=source).numpy()]
        batch = np.stack([faces[k][i] for k, i in chosen])
        target = torch.from_numpy(np.stack([w[k][i] for k, i in chosen])).to(device)
        x = to_input(torch.from_numpy(batch), size)
        if torch.rand(1, generator=source).item() > recipe.clean_share:
            x = augment(x, source)
        x = x.to(device, memory_format=torch.channels_last)
        model.train()
        with torch.autocast(device.type, torch.bfloat16):
            guess = model(x)
        loss = (guess - target).square().mean() / variance
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        losses.append(loss.item())
        decay = min(recipe.average, step / (step + 10))
        with torch.no_grad():
            for kept, now in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
                kept.lerp_(now, 1 - decay) if kept.is_floating_point() else kept.copy_(now)
        last = step >= recipe.steps if recipe.steps else share >= 1.0
        if step % recipe.report_every == 0 or last:
            line = Progress(step, minutes, float(np.mean(losses)), r_squared(averaged, test_faces, test_w),
                            r_squared(averaged, test_augmented, test_w), len(index))
            losses, index = [], _rendered(pairs)                     # rendering may still be going on
            _append(out / "curve.csv", line)
            torch.save(
                {"model": model.state_dict(), "averaged": averaged.state_dict(), "optimizer": optimizer.state_dict(),
                 "source": source.get_state(), "step": step, "minutes": minutes, "recipes": json.dumps(recipes)},
                checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            if report:
                report(line)
        if last:
            return averaged.cpu()


@torch.inference_mode()
def r_squared(model: FaceEncoder, faces: Tensor, w: Tensor) -> float:
    """1 - squared error / squared deviation from the mean, over all coordinates of w together."""
    model.eval()
    device = model.mean_w.device
    guess = torch.cat([model(part.to(device, memory_format=torch.channels_last)).cpu() for part in faces.split(64)])
    return float(1 - (guess - w).square().sum() / (w - w.mean(dim=0)).square().sum())


def _rendered(pairs: list[Path]) -> np.ndarray:
    """(folder, row) of every pair that is there by now; int64 (n, 2)."""
    return np.array([(k, i) for k, folder in enumerate(pairs) for i in range(count_rendered(folder))])


def _held_out(folder: Path, size: int) -> tuple[Tensor, Tensor]:
    count = min(1000, count_rendered(folder))
    if count < 2:
        raise Img2TabError(f"R2 needs at least 2 held-out faces, got {count} in {folder}. Render more.")
    faces = np.load(folder / "faces.npy", mmap_mode="r")[:count]
    return to_input(torch.from_numpy(np.array(faces)), size), torch.from_numpy(np.load(folder / "w.npy")[:count])


def _append(path: Path, line: Progress) -> None:
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, asdict(line))
        if is_new:
            writer.writeheader()
        writer.writerow(asdict(line))


def save_encoder(model: FaceEncoder, folder: Path, record: dict) -> Path:
    """Write face-encoder.safetensors (float16) and face-encoder.json: how it was made and how good it is."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    return ship(folder / "face-encoder.safetensors", state, {"config": model.config.to_json(), **record})


def read_curve(file: Path) -> list[dict[str, float]]:
    """The lines of curve.csv, an interrupted training's too."""
    with file.open() as lines:
        return [{name: round(float(value), 4) for name, value in line.items()} for line in csv.DictReader(lines)]


def read_recipes(out: Path) -> list[dict]:
    """Every recipe a training in `out` followed, with "from_step" where it began; [] before there is a checkpoint."""
    if not (out / "checkpoint.pt").exists():
        return []
    return _recipes_in(torch.load(out / "checkpoint.pt", weights_only=True, map_location="cpu"))


def _recipes_in(saved: dict) -> list[dict]:
    if "recipes" not in saved:
        return [{"from_step": 0, "unknown": "the checkpoint is from before recipes were recorded"}]
    return json.loads(saved["recipes"])


def _with_recipe(recipes: list[dict], recipe: Recipe, step: int) -> list[dict]:
    """The list with this recipe at its end; the same list where that is what the training followed already."""
    now = json.loads(json.dumps(asdict(recipe)))                     # as it is read back: tuples are lists
    if recipes and {name: value for name, value in recipes[-1].items() if name != "from_step"} == now:
        return recipes
    return [*recipes, {"from_step": step, **now}]
