import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rankfront.objectives.export.model_files import save_weights
from rankfront.objectives.io.saved import Entry, entries, file_bytes
from rankfront.objectives.metrics.flops import count_flops
from rankfront.objectives.metrics.registry import measure


def convnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5)
    )


def test_flops_are_twice_fvcores_count() -> None:
    fvcore = pytest.importorskip("fvcore.nn")
    model, example = convnet().eval(), torch.zeros(1, 3, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = fvcore.FlopCountAnalysis(model, example).unsupported_ops_warnings(False).by_operator()
    assert count_flops(model, example) == 2 * (counts["conv"] + counts["linear"])


def test_tied_weights_count_once() -> None:
    shared = nn.Linear(4, 4)
    assert measure(nn.Sequential(shared, shared), torch.zeros(1, 4)).params == 20


def test_flops_of_a_model_that_looks_at_values_are_counted_where_it_is() -> None:
    class Looks(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) if float(input.sum()) == 0 else input

    assert count_flops(Looks(4, 3), torch.zeros(1, 4)) == 24


def test_bytes_are_the_files(tmp_path: Path) -> None:
    shared = nn.Linear(4, 4)
    for model in (convnet(), nn.Sequential(shared, shared), nn.Linear(3, 3).half()):
        save_weights(tmp_path / "model.safetensors", model)
        assert (tmp_path / "model.safetensors").stat().st_size == file_bytes(entries(model))


@given(
    st.dictionaries(
        st.text('ab.ü"\\\n\x00\x7f', min_size=1, max_size=8),
        st.tuples(
            st.lists(st.integers(0, 12), max_size=3), st.sampled_from([torch.float32, torch.float16, torch.int64])
        ),
        min_size=1,
        max_size=6,
    )
)
def test_bytes_of_any_tensors(tensors: dict[str, tuple[list[int], torch.dtype]]) -> None:
    from safetensors.torch import save

    real = len(save({name: torch.zeros(shape, dtype=dtype) for name, (shape, dtype) in tensors.items()}))
    assert file_bytes([Entry(name, tuple(shape), dtype) for name, (shape, dtype) in tensors.items()]) == real
