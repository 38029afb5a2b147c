"""The process an ONNX file is run in for the first time: bounded memory, pictures on standard input, answers out.

Called as `python -m img2tab_core.classifiers.onnx_trial FILE BYTES BATCH`; ends with 3 and a sentence in place of the
answers where the file cannot be run, with 4 where it wants too much memory.
"""

from __future__ import annotations

import io
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

TOO_MUCH = ("bad_alloc", "bad allocation", "Failed to allocate", "out of memory", "cannot allocate", "BFCArena")
MOST_NUMBERS = 10_000_000  # of all answers together


def main(file: str, most: int, at_once: int) -> int:
    """Ask and answer; what the process ends with."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what ONNX Runtime prints is not an answer
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import numpy as np
    import onnxruntime

    try:
        tensor = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(Path(file).read_bytes(), options, providers=["CPUExecutionProvider"])
        name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
        parts = []
        for start in range(0, len(tensor), at_once):
            parts.append(np.asarray(session.run([output], {name: tensor[start : start + at_once]})[0]))
            if not parts[-1].ndim or parts[-1].dtype.kind not in "biuf":
                what = "something else" if parts[-1].ndim else "a single number"
                raise ValueError(f"its first output must be a row of numbers for every face, got {what}")
            if sum(part.size for part in parts) > MOST_NUMBERS:
                raise ValueError(f"its answers about {len(tensor)} faces are more than {MOST_NUMBERS:,} numbers")
        stream = io.BytesIO()
        np.save(stream, np.concatenate(parts), allow_pickle=False)
        answers.write(stream.getvalue())
        answers.flush()
    except MemoryError:
        return 4
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises classes of its own; the caller makes a sentence
        if any(word in str(error) for word in TOO_MUCH):
            return 4
        answers.write((str(error) or type(error).__name__).encode(errors="replace"))
        answers.flush()
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
