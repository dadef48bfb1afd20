import copy

import torch
from torch import nn

from rankfront.objectives.data.batch import Batch
from rankfront.objectives.training.batchnorm import reestimate_where_it_helps

INPUTS = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * 4 + 2
BATCHES = [Batch(INPUTS[:100], None), Batch(INPUTS[100:], None)]


def network() -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5)).eval()


def test_estimates_mean_and_variance_of_the_batches() -> None:
    model = network()
    losses = iter([2.0, 1.0])
    assert reestimate_where_it_helps(model, BATCHES, lambda _: next(losses))
    torch.testing.assert_close(model[0].running_mean, INPUTS.mean(0))
    torch.testing.assert_close(model[0].running_var, torch.stack([b.inputs.var(0) for b in BATCHES]).mean(0))
    assert model[0].momentum == 0.1
    assert not any(m.training for m in model.modules())


def test_leaves_all_as_it_was_where_it_does_not_help() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    losses = iter([1.0, 1.0])
    assert not reestimate_where_it_helps(model, BATCHES, lambda _: next(losses))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_without_batch_norm_is_not_even_scored() -> None:
    assert not reestimate_where_it_helps(nn.Sequential(nn.Linear(3, 3)), BATCHES, lambda _: 1 / 0)
