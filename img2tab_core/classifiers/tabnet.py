"""TabNet: a network that attends to a few concepts at a time, in several steps (Arik and Pfister 2021)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from img2tab_core.classifiers.base import (
    Cancel,
    ConceptClassifier,
    Report,
    check_positive,
    check_whole,
    imported,
    stop_if,
    two_columns,
)

if TYPE_CHECKING:
    from torch import Tensor

Network = Any  # pytorch-tabnet's TabNetNoEmbeddings; the library says nothing of its types
TITLE = "TabNet"
AT_ONCE = 512  # faces predicted in one go
SPARSE = 1e-3  # weight of the penalty for attending to many concepts, pytorch-tabnet's own


class TabNetConcepts(ConceptClassifier):
    """pytorch-tabnet's network, trained here: silent, stoppable after every batch, no global seed touched.

    The channels are standardised by the faces it is trained on. After `fit` also network_, mean_ and scale_ float32
    (k,), attention_ float64 (k,).

    Importance, TabNet's own: the attention masks of all training faces added up, each step weighted by what it adds
    to the decision; a constant channel has none.

    The defaults are pytorch-tabnet's (8 decision and 8 attention units, gamma 1.3) but for two: a one-cycle learning
    rate instead of early stopping, so that no faces have to be held back; and one step of attention instead of three,
    which on 4,000 faces and 6,752 channels is right more often (smiling: 0.92 against 0.87) and twice as fast.
    """

    kind, file, library, measures = "tabnet", "model.safetensors", "pytorch-tabnet", ("attention",)

    def __init__(
        self,
        *,
        epochs: int = 20,
        batch: int = 128,
        learning_rate: float = 0.02,
        units: int = 8,
        stages: int = 1,
        excluded: frozenset[int] = frozenset(),
        screen: int | None = 2048,
        random_state: int = 0,
        thread_count: int = -1,
    ) -> None:
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.units = units
        self.stages = stages
        self.excluded = excluded
        self.screen = screen
        self.random_state = random_state
        self.thread_count = thread_count

    def _check_parameters(self) -> None:
        check_whole(self, "epochs", 1, 10_000)
        check_whole(self, "batch", 2, 1_000_000)
        check_positive(self, "learning_rate")
        check_whole(self, "units", 1, 1024)
        check_whole(self, "stages", 1, 100)
        super()._check_parameters()

    def _train(
        self,
        codes: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        used: np.ndarray,
        width: int,
        report: Report,
        cancelled: Cancel,
    ) -> None:
        import torch

        mean, scale = codes.mean(axis=0, dtype=np.float64), codes.std(axis=0, dtype=np.float64)
        constant = scale == 0
        scale[constant] = 1.0
        mean, scale = mean.astype(np.float32), scale.astype(np.float32)
        standard = codes - mean  # (n, k) float32
        standard /= scale
        inputs = torch.from_numpy(np.ascontiguousarray(standard))  # (n, k)
        del standard
        labels = torch.from_numpy(y)
        counts = None if weights is None else torch.from_numpy(weights.astype(np.float32))
        with torch.random.fork_rng(devices=[]):  # the process's own random numbers stay as they are
            torch.manual_seed(int(self.random_state))
            network = self._network(codes.shape[1], int(y.max()) + 1)
            shuffle = torch.Generator().manual_seed(int(self.random_state))
            batches = max(1, len(y) // self.batch)  # as pytorch-tabnet: no smaller one at the end
            total = self.epochs * batches
            optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=self.learning_rate, total_steps=total + 1)
            network.train()
            for epoch in range(self.epochs):
                order = torch.randperm(len(y), generator=shuffle)
                for number in range(batches):
                    stop_if(cancelled)
                    part = order[number * self.batch : (number + 1) * self.batch]
                    scores, attended = network(inputs[part])  # (b, K), mean of mask x log mask
                    loss = _cross_entropy(scores, labels[part], None if counts is None else counts[part])
                    loss = loss - SPARSE * attended
                    optimizer.zero_grad()
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                    optimizer.step()
                    schedule.step()
                    share = (epoch * batches + number + 1) / total
                    report(0.05 + 0.9 * share, f"Epoch {epoch + 1} of {self.epochs}")
        network.eval()
        attention = np.zeros(codes.shape[1])
        with torch.no_grad():
            for part in inputs.split(AT_ONCE):
                stop_if(cancelled)
                attention += network.forward_masks(part)[0].sum(dim=0, dtype=torch.float64).numpy()
        attention[constant] = 0.0  # attention always adds up to 1, so a part of it may lie where nothing can be learnt
        self.network_, self.mean_, self.scale_, self.attention_ = network, mean, scale, attention

    def _network(self, channels: int, classes: int = 2) -> Network:
        """A new network over so many channels, for so many classes."""
        parts = imported("pytorch_tabnet.tab_network", title=TITLE)
        network = parts.TabNetNoEmbeddings(
            channels,
            classes,
            n_d=self.units,
            n_a=self.units,
            n_steps=self.stages,
            virtual_batch_size=128,
            group_attention_matrix=_Ungrouped(channels),
        )
        for transformer in network.encoder.att_transformers:
            del transformer.selector  # a module; in its place comes a function
            transformer.selector = sparsemax  # its own sorts: half of the time of training
        return network

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        import torch

        parts = []
        with torch.no_grad():
            for start in range(0, len(codes), AT_ONCE):
                inputs = (codes[start : start + AT_ONCE] - self.mean_) / self.scale_
                scores, _ = self.network_(torch.from_numpy(np.ascontiguousarray(inputs)))
                parts.append(torch.softmax(scores.double(), dim=1).numpy())
        chance = np.concatenate(parts)
        return two_columns(chance[:, 1]) if chance.shape[1] == 2 else chance

    def importances(self, by: str) -> np.ndarray:
        return np.array(self.attention_)

    def write(self, file: Path) -> None:
        import torch
        from safetensors.torch import save

        tensors = {f"network.{name}": tensor.contiguous() for name, tensor in self._state(self.network_).items()}
        tensors |= {
            "mean": torch.from_numpy(self.mean_),
            "scale": torch.from_numpy(self.scale_),
            "attention": torch.from_numpy(self.attention_),
        }
        file.write_bytes(save(tensors))

    def read(self, file: Path) -> None:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(file.read_bytes())
            with torch.device("meta"):  # which takes no memory
                parts = self._network(len(self.screened_), len(self.classes_)).parameters()
            if sum(part.numel() for part in parts) > sum(tensor.numel() for tensor in tensors.values()):
                raise ValueError("its network is larger than its file")
            network = self._network(len(self.screened_), len(self.classes_))
            names = self._state(network).keys()
            network.load_state_dict({name: tensors[f"network.{name}"] for name in names}, strict=False)
        except (SafetensorError, RuntimeError) as error:  # RuntimeError: tensors of another shape
            raise ValueError(str(error)) from error
        network.eval()
        self.network_, self.attention_ = network, tensors["attention"].numpy()
        self.mean_, self.scale_ = tensors["mean"].numpy(), tensors["scale"].numpy()
        if not self.mean_.shape == self.scale_.shape == self.attention_.shape == self.screened_.shape:
            raise ValueError("its network has other channels")

    @staticmethod
    def _state(network: Network) -> dict[str, Tensor]:
        """The network's tensors by name, each once: steps share layers, which safetensors would refuse."""
        seen, tensors = set(), {}
        for name, tensor in network.state_dict().items():
            if tensor.data_ptr() not in seen:
                tensors[name] = tensor
                seen.add(tensor.data_ptr())
        return tensors


def _cross_entropy(scores: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over a batch; weights: (b,), what each face counts, as a share of the average face."""
    import torch

    if weights is None:
        return torch.nn.functional.cross_entropy(scores, labels)
    return (weights * torch.nn.functional.cross_entropy(scores, labels, reduction="none")).mean()


def sparsemax(scores: Tensor) -> Tensor:
    """The nearest point of the simplex, row by row: float (b, k) -> float (b, k), >= 0, rows add up to 1, most are 0.

    Source: Michelot 1986, "A finite algorithm for finding the projection of a point onto the canonical simplex".
    """
    import torch

    scores = scores - scores.detach().max(dim=1, keepdim=True).values
    with torch.no_grad():
        kept = scores > -1.0  # the threshold is never lower: the highest is 0
        while True:
            threshold = ((scores * kept).sum(dim=1, keepdim=True) - 1) / kept.sum(dim=1, keepdim=True)  # (b, 1)
            fewer = kept & (scores > threshold)
            if torch.equal(fewer, kept):
                break
            kept = fewer
    threshold = ((scores * kept).sum(dim=1, keepdim=True) - 1) / kept.sum(dim=1, keepdim=True)  # (b, 1)
    return torch.where(kept, scores - threshold, 0.0)


class _Ungrouped:
    """Stands for the identity matrix by which pytorch-tabnet multiplies every mask when no channels are grouped.

    With 6,752 channels that product would take nearly all of the time; here it is the mask itself.
    """

    def __init__(self, channels: int) -> None:
        self.shape = (channels, channels)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function.__name__ != "matmul":
            return NotImplemented
        return args[0]
