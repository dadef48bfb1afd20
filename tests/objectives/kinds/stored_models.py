"""Networks that multiply by parameters in ways that no module shows, and their objectives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rankfront import DENSE, Choice, FineTune, Plan, Task
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.stored_layer import StoredLayer
from rankfront.objectives.objective import Objective

KIND = KINDS["stored"]
CPU = torch.device("cpu")


class First(nn.Module):
    """The first output of a recurrent layer, and a head."""

    def __init__(self, recurrent: nn.Module, width: int) -> None:
        super().__init__()
        self.rnn, self.head = recurrent, nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Cell(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class Functional(nn.Module):
    """As torchvision's Swin: the Linear's weight is read, the Linear is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(8, 24), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.linear(x, self.qkv.weight, self.qkv.bias).mean(1))


class Own(nn.Module):
    """Parameters of the user's own: ``x @ w``, an einsum, a transpose, a slice, a cast copy."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(8, 12))
        self.e = nn.Parameter(torch.randn(12, 2, 6))
        self.t = nn.Parameter(torch.randn(10, 12))
        self.halves = nn.Parameter(torch.randn(12, 10))
        self.cast = nn.Parameter(torch.randn(5, 6))
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = (x @ self.w).relu()
        x = torch.einsum("btd,dhk->bthk", x, self.e).flatten(2)
        x = torch.matmul(x, self.t.t()).relu()
        one, two = self.halves.chunk(2)
        x = functional.linear(x, one) + functional.linear(x, two)
        return self.head(functional.linear(x, (2 * self.cast).float().t().contiguous().T).mean(1))


class Fused(nn.Module):
    """As Mixtral: the experts' weights in one parameter each, one expert's slice at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 4)
        self.up, self.down = nn.Parameter(torch.randn(4, 20, 8)), nn.Parameter(torch.randn(4, 3, 20))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        weights, picked = self.gate(flat).softmax(-1).topk(2)
        out = flat.new_zeros(len(flat), 3)
        for expert in range(4):
            rows, place = (picked == expert).nonzero(as_tuple=True)
            if len(rows):
                hidden = functional.linear(flat[rows], self.up[expert]).relu()
                out.index_add_(0, rows, weights[rows, place, None] * functional.linear(hidden, self.down[expert]))
        return out.view(*x.shape[:2], 3).mean(1)


class Batched(Fused):
    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        hidden = torch.bmm(flat.expand(4, -1, -1), self.up.transpose(1, 2)).relu()
        out = torch.baddbmm(flat.new_zeros(4, 1, 3), hidden, self.down.transpose(1, 2))
        return torch.einsum("ne,enk->nk", self.gate(flat).softmax(-1), out).view(*x.shape[:2], 3).mean(1)


class ConvByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.head = nn.Parameter(torch.randn(6, 8, 3)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.conv1d(x.mT, self.kernel, padding=1).mean(-1))


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ws = nn.ParameterList([torch.randn(8, 8), torch.randn(8, 8)])
        self.named, self.head = nn.ParameterDict({"a": torch.randn(8, 8)}), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for w in self.ws:
            x = (x @ w).tanh()
        return self.head((x @ self.named["a"]).mean(1))


class Packed(nn.Module):
    """An attention that cannot be taken apart."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


MODELS: dict[str, Any] = {
    "lstm": lambda: First(nn.LSTM(8, 10, batch_first=True), 10),
    "lstm, two layers, both ways": lambda: First(nn.LSTM(8, 10, 2, batch_first=True, bidirectional=True), 20),
    "lstm, projected": lambda: First(nn.LSTM(8, 10, batch_first=True, proj_size=4), 4),
    "gru": lambda: First(nn.GRU(8, 10, 2, batch_first=True, bias=False), 10),
    "rnn": lambda: First(nn.RNN(8, 10, batch_first=True), 10),
    "lstm cell": lambda: Cell(nn.LSTMCell(8, 10)),
    "gru cell": lambda: Cell(nn.GRUCell(8, 10)),
    "rnn cell": lambda: Cell(nn.RNNCell(8, 10)),
    "functional linear": Functional,
    "own parameters": Own,
    "experts in one parameter": Fused,
    "experts as one batch": Batched,
    "convolution by hand": ConvByHand,
    "parameters in lists": Listed,
    "packed attention": Packed,
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]().eval()


def inputs(samples: int = 32) -> Tensor:
    return torch.randn(samples, 5, 8, generator=torch.Generator().manual_seed(1))


def prepared(name: str, **options: Any) -> Objective:
    model, x = made(name), inputs()
    y = model(x).argmax(-1).detach()
    options = {"calibration": 16, "finetune": FineTune(epochs=1)} | options
    objective = Objective(Task(model, train=(x, y), validation=(x, y), **options), device=CPU)
    objective.prepare()
    return objective


def stored_layers(objective: Objective) -> list[StoredLayer]:
    return [layer for layer in objective.layers if isinstance(layer, StoredLayer)]


def all_at(objective: Objective, rank: Any) -> Plan:
    return Plan(
        {
            layer.name: Choice("stored", rank(layer)) if isinstance(layer, StoredLayer) else DENSE
            for layer in objective.layers
        }
    )
