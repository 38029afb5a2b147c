"""Train the face encoder on generated pairs (face, w); resumable, seeded, with its curve as CSV."""

from __future__ import annotations

import copy
import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from img2tab_core.backbones.rendering import to_pixels
from img2tab_core.base.errors import Img2TabError
from img2tab_core.networks.face_encoder import IDENTITY, EncoderConfig, FaceEncoder, to_input
from img2tab_core.networks.mobilestylegan import MobileStyleGAN
from img2tab_core.networks.ops import channels_last
from img2tab_core.training.encoders.augment import augment
from img2tab_core.training.encoders.pairs import count_rendered
from img2tab_core.training.encoders.surrogate import (
    PARTS,
    Shown,
    Surrogate,
    fit_surrogate,
    load_surrogate,
    save_surrogate,
)
from img2tab_core.training.encoders.targets import Describer, Targets
from img2tab_core.weights.store import ship


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights. The loss is on w, and on what w shows (see `Surrogate`)."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    minutes: float = 70.0  # the cosine schedule ends here, whatever the machine reached,
    steps: int | None = None  # or after so many steps: then the same seed gives the same weights
    batch: int = 64
    rate: float = 7e-4
    weight_decay: float = 0.05
    clean_share: float = 0.2  # batches that are not augmented
    real_share: float = 0.125  # of a batch are real photos, where there are any; they have no w
    shown: tuple[float, float, float] = (0.5, 0.25, 0.25)  # weights of descriptor, landmarks and small picture
    far: float = 0.1  # weight of how much farther from the mean than usual the w of a real photo is
    average: float = 0.998  # of the weights that are kept (exponential moving average)
    seed: int = 0
    report_every: int = 250  # steps


@dataclass
class Progress:
    """One line of the curve; the real ones are medians over portraits that training never sees, NaN without any."""

    step: int
    minutes: float
    loss: float
    r2: float
    r2_augmented: float
    pairs: int
    real_identity: float = math.nan  # descriptor distance of photo and reconstruction
    real_pixels: float = math.nan  # root mean square at 128 px, on [-1, 1]


@dataclass(frozen=True)
class RealPhotos:
    """Aligned real faces uint8 (n, 256, 256, 3): those training may see, and those it never does."""

    seen: np.ndarray
    unseen: np.ndarray


def train_encoder(
    pairs: list[Path],
    held_out: Path,
    out: Path,
    recipe: Recipe,
    *,
    describer: Describer | None = None,
    generator: MobileStyleGAN | None = None,
    real: RealPhotos | None = None,
    start: FaceEncoder | None = None,
    report: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> FaceEncoder:
    """Fit an encoder on folders of `render_pairs`; returns it with averaged weights, float32, eval.

    held_out: a folder whose first 1,000 faces measure R2 and are never trained on. out: folder for checkpoint.pt
    (training goes on from it if it is there), surrogate.pt and curve.csv. describer: adds losses on what w shows;
    without it the loss is on w alone. real: photos that enter with losses on what they show; the generator draws
    reconstructions of the unseen ones for the curve. start: an encoder whose convolutions are taken over.
    """
    if describer is None and (real is not None or recipe.encoder.identity):
        raise Img2TabError("Real photos, and an encoder that reads the face descriptor, need a describer. Give one.")
    size, say = recipe.encoder.size, say or (lambda text: None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    index, (test_faces, test_w) = _rendered(pairs), _held_out(held_out, size)
    w = [np.load(folder / "w.npy") for folder in pairs]
    faces = [np.load(folder / "faces.npy", mmap_mode="r") for folder in pairs]
    if len(index) < recipe.batch:
        raise Img2TabError(f"Training needs at least {recipe.batch} rendered pairs, got {len(index)}. Render more.")
    out.mkdir(parents=True, exist_ok=True)
    all_w = np.concatenate([codes[: count_rendered(folder)] for codes, folder in zip(w, pairs, strict=True)])
    surrogate = _surrogate(pairs, w, out, describer, device, recipe.seed, say) if describer is not None else None
    photos = None
    if real is not None and describer is not None and surrogate is not None:
        photos = _Photos(real, describer, surrogate, generator, size)

    torch.manual_seed(recipe.seed)  # here: a surrogate of before draws no numbers
    model = FaceEncoder(recipe.encoder)
    if recipe.encoder.identity and describer is not None:
        model.identity.load_state_dict(describer.descriptor.state_dict())
    if start is not None:
        _take_over(model, start)
    channels_last(model.to(device))
    cast(Tensor, model.mean_w).copy_(torch.from_numpy(all_w.mean(axis=0)))
    variance = float(all_w.var(axis=0).mean())
    whiten = torch.from_numpy(_whitening(all_w)).to(device)
    averaged = copy.deepcopy(model).eval()
    trained = [part for part in model.parameters() if part.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True)
    source = torch.Generator().manual_seed(recipe.seed)
    step, spent, recipes = 0, 0.0, []
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location="cpu")
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
    if (recipe.steps and step >= recipe.steps) or (not recipe.steps and spent >= recipe.minutes):
        say(
            f"This training is finished: {step:,} steps in {spent:.0f} minutes are in {out}, and its recipe asks for "
            f"{f'{recipe.steps:,} steps' if recipe.steps else f'{recipe.minutes:g} minutes'}. Nothing was trained; ask "
            "for more, or choose another --out."
        )
        return averaged.cpu()
    recipes = _with_recipe(recipes, recipe, step)
    test_augmented = augment(test_faces, torch.Generator().manual_seed(1))
    weights = torch.tensor(recipe.shown, device=device)
    reals = round(recipe.real_share * recipe.batch) if photos is not None else 0

    started, losses = time.monotonic() - spent * 60, []
    while True:
        minutes = (time.monotonic() - started) / 60
        share = min(step / recipe.steps if recipe.steps else minutes / recipe.minutes, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * min(1.0, (step + 1) / 300) * (0.5 * (1 + math.cos(math.pi * share)) + 1e-3)
        chosen = index[torch.randint(len(index), (recipe.batch - reals,), generator=source).numpy()]
        target = torch.from_numpy(np.stack([w[k][i] for k, i in chosen])).to(device)
        x = to_input(torch.from_numpy(np.stack([faces[k][i] for k, i in chosen])), size)
        if photos is not None and reals:
            rows = torch.randint(len(photos.faces), (reals,), generator=source)
            x = torch.cat([x, photos.faces[rows]])
        if torch.rand(1, generator=source).item() > recipe.clean_share:
            x = augment(x, source)
        x = x.to(device, memory_format=torch.channels_last)
        model.train()
        with torch.autocast(device.type, torch.bfloat16):
            guess = model(x)
        drawn, real_guess = guess[: len(target)], guess[len(target) :]
        loss = (drawn - target).square().mean() / variance
        if surrogate is not None:
            loss = loss + (weights * surrogate.differences(surrogate(drawn), surrogate(target))).sum()
        if photos is not None and surrogate is not None and reals:
            differences = surrogate.differences(surrogate(real_guess), photos.shown(rows.to(device)))
            far = ((real_guess - model.mean_w) @ whiten).square().mean(1)  # 1 for a usual w
            loss = loss + recipe.real_share * ((weights * differences).sum() + recipe.far * (far - 1).relu().mean())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        losses.append(loss.item())
        decay = min(recipe.average, step / (step + 10))
        with torch.no_grad():
            for kept, now in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
                kept.lerp_(now, 1 - decay) if kept.is_floating_point() else kept.copy_(now)
        last = step >= recipe.steps if recipe.steps else share >= 1.0
        if step % recipe.report_every == 0 or last:
            line = Progress(
                step,
                minutes,
                float(np.mean(losses)),
                r_squared(averaged, test_faces, test_w),
                r_squared(averaged, test_augmented, test_w),
                len(index),
                *(photos.measured(averaged) if photos is not None else ()),
            )
            losses, index = [], _rendered(pairs)  # rendering may still be going on
            _append(out / "curve.csv", line)
            torch.save(
                {
                    "model": model.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "source": source.get_state(),
                    "step": step,
                    "minutes": minutes,
                    "recipes": json.dumps(recipes),
                },
                checkpoint.with_suffix(".tmp"),
            )
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            if report:
                report(line)
        if last:
            return averaged.cpu()


class _Photos:
    """Real photos in training: inputs, what they show, and how the unseen ones are reconstructed."""

    def __init__(
        self, real: RealPhotos, describer: Describer, surrogate: Surrogate, generator: MobileStyleGAN | None, size: int
    ) -> None:
        both = np.concatenate([real.seen, real.seen[:, :, ::-1]])  # a mirrored face is a face
        self.faces = to_input(torch.from_numpy(both), size)
        self._shown = surrogate.shown(describer.describe(both))
        self._unseen, self._generator, self._describer = real.unseen, generator, describer
        if generator is not None and len(real.unseen):
            self._unseen_descriptors = describer.describe(real.unseen).descriptors

    def shown(self, rows: Tensor) -> Shown:
        return Shown(*(getattr(self._shown, name)[rows] for name in PARTS))

    @torch.inference_mode()
    def measured(self, model: FaceEncoder) -> tuple[float, float]:
        """Median descriptor distance and pixel error of the reconstructions of the unseen photos."""
        if self._generator is None or not len(self._unseen):
            return math.nan, math.nan
        x = to_input(torch.from_numpy(self._unseen), model.config.size).to(cast(Tensor, model.mean_w).device)
        w = model.eval()(x.contiguous(memory_format=torch.channels_last))
        kind = next(self._generator.stem.parameters())
        psi = self._generator.styles(w.to(kind))
        drawn = torch.cat([self._generator.synthesis(row[None], size=128) for row in psi]).float().clamp(-1, 1)
        pixels = (drawn - to_input(torch.from_numpy(self._unseen), 128).to(drawn)).square().mean((1, 2, 3)).sqrt()
        descriptors = self._describer.describe(to_pixels(drawn.permute(0, 2, 3, 1).cpu().numpy())).descriptors
        distance = np.linalg.norm(descriptors - self._unseen_descriptors, axis=1)
        return float(np.median(distance)), float(pixels.median())


def _surrogate(
    pairs: list[Path],
    w: list[np.ndarray],
    out: Path,
    describer: Describer,
    device: torch.device,
    seed: int,
    say: Callable[[str], None],
) -> Surrogate:
    """The surrogate of this training: fitted once to what is rendered by then, and kept in `out`."""
    file = out / "surrogate.pt"
    if not file.exists():
        described = []
        for folder in pairs:
            say(f"describing the faces in {folder}")
            described.append(describer.describe_pairs(folder))
        targets = Targets(
            *(np.concatenate([getattr(targets, part.name) for targets in described]) for part in fields(Targets))
        )
        rows = [codes[: len(targets_of_pair.small)] for codes, targets_of_pair in zip(w, described, strict=True)]
        model, error = fit_surrogate(np.concatenate(rows), targets, seed=seed, device=device, report=say)
        save_surrogate(model, error, file)
    model, error = load_surrogate(file)
    say("surrogate R2: " + ", ".join(f"{name} {value:.3f}" for name, value in error.items()))
    return model.to(device)


def _take_over(model: FaceEncoder, start: FaceEncoder) -> None:
    """Start from another encoder's convolutions, and its map from them to w where that fits."""
    model.stages.load_state_dict(start.stages.state_dict())
    width = start.head.in_features - (IDENTITY if start.config.identity else 0)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.weight[:, :width] = start.head.weight[:, :width]
        model.head.bias.copy_(start.head.bias)


def _whitening(w: np.ndarray) -> np.ndarray:
    """float32 (512, 512) that turns deviations of w into uncorrelated ones of variance 1."""
    values, vectors = np.linalg.eigh(np.cov(w.T.astype(np.float64)))
    return (vectors / np.sqrt(values + 0.01 * values.mean())).astype(np.float32)


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
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.own_state().items()}
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
    now = json.loads(json.dumps(asdict(recipe)))  # as it is read back: tuples are lists
    if recipes and {name: value for name, value in recipes[-1].items() if name != "from_step"} == now:
        return recipes
    return [*recipes, {"from_step": step, **now}]
