import torch
from torch import nn

from rankfront.objectives.calibration.calibrate import calibrate
from rankfront.objectives.data.split import Split
from rankfront.objectives.kinds.svd import KIND
from rankfront.objectives.model.finding import find_layers


def test_plain_is_the_truncated_svd() -> None:
    model = nn.Sequential(nn.Linear(10, 7))
    (layer,) = find_layers(model, torch.zeros(1, 10))
    module = KIND.decompose(layer, None).factors(3)
    product = module[1].weight @ module[0].weight
    u, s, v = torch.linalg.svd(model[0].weight)
    torch.testing.assert_close(product, (u[:, :3] * s[:3]) @ v[:3], rtol=1e-4, atol=1e-5)


def test_whitened_is_the_svd_of_weight_times_root_of_covariance() -> None:
    """The oracle is the definition: truncate the SVD of W C^½, fold C^-½ back."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(500, 10, generator=generator) @ torch.randn(10, 10, generator=generator)
    model = nn.Sequential(nn.Linear(10, 7, bias=False))
    (layer,) = find_layers(model, inputs[:1])
    batches = list(Split((inputs, inputs)).batches(50))
    module = KIND.decompose(layer, calibrate(model, {"": (layer, "outputs")}, batches)[""]).factors(3)
    values, vectors = torch.linalg.eigh((inputs.T @ inputs / len(inputs)).double())
    root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
    u, s, v = torch.linalg.svd(model[0].weight.double() @ root)
    expected = (u[:, :3] * s[:3]) @ v[:3] @ inverse
    torch.testing.assert_close((module[1].weight @ module[0].weight).double(), expected, rtol=1e-3, atol=1e-5)


def test_bias_takes_the_mean_of_what_is_cut_off() -> None:
    inputs = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * 0.1 + 3
    model = nn.Sequential(nn.Linear(6, 6))
    (layer,) = find_layers(model, inputs[:1])
    moments = calibrate(model, {"": (layer, "outputs")}, list(Split((inputs, inputs)).batches(50)))[""]
    outputs = KIND.decompose(layer, moments).factors(1)(inputs)
    torch.testing.assert_close(outputs.mean(0), model(inputs).mean(0), rtol=1e-4, atol=1e-4)
