"""Run .tflite files on tflite-runtime 2.14, which needs an interpreter with numpy below 2.

Started by test_runtime_2_14.py with the Python of that environment, on a folder of triples
NAME.tflite, NAME.in.npy, NAME.out.npy; prints one JSON object of results by name.
"""

import json
import sys
from pathlib import Path

import numpy as np
from tflite_runtime.interpreter import Interpreter


def run(path):
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], np.load(path.with_suffix(".in.npy"))
    )
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    want = np.load(path.with_suffix(".out.npy"))
    if got.shape != want.shape:
        return f"shape {got.shape}, not {want.shape}"
    if want.dtype.kind != "f":
        same = got.dtype == want.dtype and np.array_equal(got, want)
        return 0.0 if same else f"{got.dtype} {got.tolist()}, not {want.dtype} {want.tolist()}"
    return float(np.abs(got - want).max() / np.abs(want).max())


results = {}
for path in sorted(Path(sys.argv[1]).glob("*.tflite")):
    try:
        results[path.stem] = run(path)
    except (RuntimeError, ValueError) as error:
        results[path.stem] = str(error)
json.dump(results, sys.stdout)
