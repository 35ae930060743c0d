"""MediaPipe's ImageClassifier, in an environment of its own: it brings OpenCV and 600 MB along."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from extra_environment import make_environment

MEDIAPIPE = ("mediapipe==1.2.*", "pillow")
CLASSIFY = """
import json, sys
import numpy as np
import mediapipe
from mediapipe.tasks.python import BaseOptions, vision

pixels, *files = sys.argv[1:]
images = np.load(pixels)
answers = []
for file in files:
    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=file), max_results=1
    )
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for image in images:
            image = mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
            )
            best = classifier.classify(image).classifications[0].categories[0]
            answers.append([best.index, best.category_name, best.score])
print(json.dumps(answers))
"""


@pytest.fixture(scope="session")
def mediapipe():
    """Ask MediaPipe's ImageClassifier; a row of index, name and score for each file and image."""
    python = make_environment("mediapipe-1.2", MEDIAPIPE)

    def classify(folder, pixels, *files):
        np.save(folder / "pixels.npy", pixels)
        done = subprocess.run(
            [str(python), "-c", CLASSIFY, str(folder / "pixels.npy"), *map(str, files)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        answers = json.loads(done.stdout)
        return [answers[i : i + len(pixels)] for i in range(0, len(answers), len(pixels))]

    return classify
