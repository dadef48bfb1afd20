"""The check of a Hugging Face model's folder: ``transformers`` loads it in a process in which there is no rankfront."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import RankfrontError
from ..io.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOLERANCE = 1e-2
"""By how much an output may differ, as a share of the largest."""

PROCESS = """
import sys
sys.modules["rankfront"] = None
folder, auto, taken, given = sys.argv[1:]
import torch, transformers
from safetensors.torch import load_file, save_file
model, found = getattr(transformers, auto).from_pretrained(
    folder, trust_remote_code=True, output_loading_info=True, dtype="auto"
)
wrong = [*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]]
if wrong:
    sys.exit(f"tensor {wrong[0]} is not the file's")
with torch.inference_mode():
    output = model.eval()(**load_file(taken))[0]
save_file({"output": output.contiguous()}, given)
"""


def difference_elsewhere(folder: Path, auto: str, model: PreTrainedModel) -> tuple[float, float]:
    """Return by how much the outputs of a folder's model differ there from ours, at most, and our largest output.

    Args:
        folder: with its own code.
        auto: the name of transformers' class that loads it.
        model: ours, in eval mode on the CPU.

    Raises:
        RankfrontError: it does not load there, or gives something else.
    """
    inputs = example_of(model)
    with torch.inference_mode():
        ours = model(**inputs)[0]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        taken, given = place / "inputs.safetensors", place / "outputs.safetensors"
        write_tensors(taken, inputs)
        done = subprocess.run(
            [sys.executable, "-c", PROCESS, str(folder.absolute()), auto, str(taken), str(given)],
            env={**os.environ, "HF_HOME": name, "HF_MODULES_CACHE": f"{name}/modules", "HF_HUB_OFFLINE": "1"},
            cwd=name,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise RankfrontError(f"{folder} must load by {auto}.from_pretrained, but: {(said or ['it ended'])[-1]}")
        theirs = read_tensors(given)[0]["output"]
    if theirs.shape != ours.shape:
        raise RankfrontError(
            f"{folder} must give outputs of shape {tuple(ours.shape)}, but gives {tuple(theirs.shape)}"
        )
    apart, largest = float((theirs - ours).abs().max()), float(ours.abs().max())
    if not apart <= TOLERANCE * largest:
        raise RankfrontError(
            f"{folder} must give what the model gives, but by {auto} its outputs differ by {apart:.2g}, where the "
            f"largest is {largest:.2g}"
        )
    return apart, largest


def example_of(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return inputs to try a model on: tokens, or images where its class takes these."""
    config = model.config
    if model.main_input_name == "pixel_values":
        size = getattr(config, "image_size", 64)
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        draw = torch.Generator().manual_seed(0)
        return {"pixel_values": torch.randn(2, getattr(config, "num_channels", 3), height, width, generator=draw)}
    ids = {name: tensor for name, tensor in model.dummy_inputs.items() if isinstance(tensor, Tensor)}
    vocabulary = getattr(config, "vocab_size", None)
    return ids if vocabulary is None else {name: tensor % vocabulary for name, tensor in ids.items()}
