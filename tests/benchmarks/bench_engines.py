"""The default generator in four engines on this processor; `pip install -e .[engines]` brings the others."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from img2tab_core.backbones.rendering import low_of
from tests.benchmarks.rendering import in_turn

SIZES = (128, 256, 1024)
OURS, DRAFT = "ours", "ours, a draft in bfloat16"


class Whole(torch.nn.Module):
    """Style code in, picture out, nothing else: what an engine is given."""

    def __init__(self, generator: torch.nn.Module, size: int) -> None:
        super().__init__()
        self.generator, self.size = generator, size

    def forward(self, styles: torch.Tensor) -> torch.Tensor:
        return self.generator.synthesis(styles, size=self.size)


def bench_engines(benchmark, door, code, tmp_path):
    """Least seconds of nine turns for one picture from its beginning, seconds to prepare, and how far it is from ours.

    The difference is the largest in a pixel, in levels of 255.
    """
    onnxruntime, openvino = pytest.importorskip("onnxruntime"), pytest.importorskip("openvino")
    generator, styles = door.backbone().generator, torch.from_numpy(code.values.copy())[None]
    threads, low = torch.get_num_threads(), low_of(generator, torch.device("cpu"), "draft")

    def exported(size: int) -> str:
        file = str(tmp_path / f"{size}.onnx")
        torch.onnx.export(
            Whole(generator, size),
            (styles,),
            file,
            input_names=["styles"],
            output_names=["picture"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        return file

    def onnx_runtime(size: int) -> Callable[[], np.ndarray]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(exported(size), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"styles": styles.numpy()})[0]

    def open_vino(size: int) -> Callable[[], np.ndarray]:
        core = openvino.Core()
        model = core.compile_model(
            core.read_model(exported(size)),
            "CPU",
            {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"},
        )
        request = model.create_infer_request()
        return lambda: next(iter(request.infer({0: styles.numpy()}).values())).copy()

    def compiled(size: int) -> Callable[[], np.ndarray]:
        torch._dynamo.reset()
        network = torch.compile(Whole(generator, size), fullgraph=True)
        network(styles)
        return lambda: network(styles).numpy()

    def engines() -> dict[str, dict[int, dict[str, float]]]:
        found: dict[str, dict[int, dict[str, float]]] = {}
        for size in SIZES:
            ours = Whole(generator, size)
            ways: dict[str, Callable[[], np.ndarray]] = {OURS: lambda ours=ours: ours(styles).numpy()}
            if low is not None:
                ways[DRAFT] = lambda size=size: generator.synthesis(styles, size=size, low=low).numpy()
            prepared = dict.fromkeys(ways, 0.0)
            others = {"ONNX Runtime": onnx_runtime, "OpenVINO": open_vino}
            if shutil.which("g++"):  # torch.compile needs a compiler
                others["torch.compile"] = compiled
            for name, make in others.items():
                started = time.perf_counter()
                ways[name] = make(size)
                prepared[name] = time.perf_counter() - started
            expected = ways[OURS]().clip(-1, 1)
            seconds = in_turn(*(lambda _, way=way: way() for way in ways.values()), repeats=9)
            for (name, way), least in zip(ways.items(), seconds, strict=True):
                apart = float(np.abs(way().clip(-1, 1) - expected).max() * 127.5)
                found.setdefault(name, {})[size] = {"seconds": least, "apart": apart, "prepared": prepared[name]}
        return found

    with torch.no_grad():
        benchmark.extra_info["engines"] = benchmark.pedantic(engines, rounds=1)
