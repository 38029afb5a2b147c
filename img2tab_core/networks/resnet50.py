"""ResNet-50 without its classes, as MoCo v2 trained it: what a picture shows, as one unit vector.

Sources: He et al. 2016, "Deep residual learning for image recognition" (arXiv 1512.03385), with the halving in the 3x3
convolution as torchvision has it; Chen et al. 2020, "Improved baselines with momentum contrastive learning" (MoCo v2,
arXiv 2003.04297). Parameter names are torchvision's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # inner channels, blocks, stride of the first
WIDER = 4  # a block gives so many times its inner channels
QUERY = "module.encoder_q."  # the network that MoCo trains
BESIDE = (QUERY + "fc.", "module.encoder_k.", "module.queue")  # projection head, its slow copy, its memory


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; the 3x3 may halve the resolution."""

    def __init__(self, c_in: int, c_inner: int, stride: int) -> None:
        super().__init__()
        c_out = WIDER * c_inner
        self.conv1 = nn.Conv2d(c_in, c_inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_inner)
        self.conv2 = nn.Conv2d(c_inner, c_inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_inner)
        self.conv3 = nn.Conv2d(c_inner, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.downsample = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


class ResNet50Features(nn.Module):
    """Pictures (B, 3, 224, 224) -> what they show, unit vectors (B, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        c_in = 64
        for number, (c_inner, blocks, stride) in enumerate(STAGES, start=1):
            stage = []
            for i in range(blocks):
                stage.append(Bottleneck(c_in, c_inner, stride if i == 0 else 1))
                c_in = WIDER * c_inner
            self.add_module(f"layer{number}", nn.Sequential(*stage))

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(pictures)))  # (B, 64, 112, 112)
        x = F.max_pool2d(x, 3, 2, 1)
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)  # (B, 256, 56, 56) ... (B, 2048, 7, 7)
        return F.normalize(x.mean(dim=(2, 3)), dim=1)


def moco_state(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """The `state_dict` of a MoCo v2 checkpoint -> the state of `ResNet50Features`.

    What MoCo needs beside that network is left out by name; a tensor of any other name keeps it, so that a strict
    `load_state_dict` reports it.
    """
    return {name.removeprefix(QUERY): value for name, value in checkpoint.items() if not name.startswith(BESIDE)}
