"""The true loss of a network on a batch: cross entropy, the user's function, or the model's own.

- None: the cross entropy of the main output, auxiliary outputs left out.
- A loss of torch's own (``nn.CrossEntropyLoss``, ``functional.mse_loss``): of the main output, since it takes tensors.
- Any other function: ``loss(outputs, targets)``, outputs as the model gave them in training.
- ``"model"``: the loss that the model computes. It is called with the targets as ``labels`` (Hugging Face) or
  ``targets`` (torchvision's detection models); where its inputs hold ``labels``, as they are. Only training does so:
  scores and soft targets are taken of a model that is called with its inputs alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.loss import _Loss

from ..boundary import in_users_code
from ..data.batch import Batch
from ..data.pairs import LABELS
from ..data.structure import apply, tensors_of
from ..data.targets import check_labels
from ..errors import RankfrontError
from ..model.copying import copied
from ..model.outputs import IGNORED, class_dimension, described, labels_of, main_output, own_loss

Loss = Callable[[Any, Any], Tensor] | Literal["model"] | None


@dataclass(frozen=True)
class Criterion:
    """The true loss, ``criterion(outputs, targets)``, of what `forward` returns."""

    given: Loss = None
    _copies: dict[Any, nn.Module] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Copies of a loss that is a module, by where its tensors are and of what type."""

    @property
    def is_cross_entropy(self) -> bool:
        """Whether it is torch's cross entropy."""
        function = _function(self.given)
        return function in (None, functional.cross_entropy) or isinstance(function, nn.CrossEntropyLoss)

    @property
    def is_torchs(self) -> bool:
        """Whether it is a loss of torch's own: it gets the main output."""
        return self.given is None or (self.given != "model" and _is_torchs(self.given))

    @property
    def ignored(self) -> int:
        """The target that is not counted."""
        own = getattr(_function(self.given), "ignore_index", IGNORED)
        return int(self.given.keywords.get("ignore_index", own) if isinstance(self.given, partial) else own)

    def classifies(self, outputs: Any, targets: Any) -> bool:
        """Return whether the main output is logits of classes.

        It is under torch's cross entropy; under a model's own loss where labels are integers with one dimension less.
        """
        if self.given != "model":
            return self.is_cross_entropy
        logits, labels = main_output(outputs), labels_of(targets)
        if logits is None or not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
            return False
        return labels.ndim == logits.ndim - 1 > 0 and logits.shape[class_dimension(outputs, targets)] > 1

    def takes_classes(self, outputs: Any, targets: Any) -> bool:
        """Return whether targets are classes: under a cross entropy, and under a loss of log-probabilities, too."""
        function = _function(self.given)
        of_log = function is functional.nll_loss or isinstance(function, nn.NLLLoss)
        return of_log or self.classifies(outputs, targets)

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Return a network's outputs in training, of which the loss is taken."""
        if self.given != "model":
            return apply(model, batch.inputs)
        return apply(model, batch.inputs, **_labels(model, batch))

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss, averaged over the batch; raises `RankfrontError` where the outputs lack what it needs."""
        if self.given == "model":
            loss = own_loss(outputs)
            if loss is None:
                raise RankfrontError(
                    f'loss="model" needs a model that returns its loss, but this one gave {described(outputs)}: '
                    "its forward must take labels (or targets), or its inputs hold them"
                )
            return _number(loss)
        function = functional.cross_entropy if self.given is None else self.given
        if not self.is_torchs:
            with in_users_code("the loss", outputs, targets):
                return _number(self._placed(function, tensors_of(outputs))(outputs, targets))
        main = main_output(outputs)
        if main is None:
            raise RankfrontError(
                f"{getattr(_function(function), '__name__', type(function).__name__)} needs one tensor of outputs, "
                f"but the model gave {described(outputs)}: "
                "give the task a loss(outputs, targets) that picks what it needs"
            )
        function = self._placed(function, [main])
        with in_users_code("the loss", main, targets):
            if not self.is_cross_entropy:
                return _number(function(main, targets))
            logits = main.movedim(class_dimension(outputs, targets), min(1, main.ndim - 1))
            labels = labels_of(targets)
            # Classes in other integers than torch's cross entropy takes.
            whole = isinstance(labels, Tensor) and labels.ndim < main.ndim and not labels.is_floating_point()
            try:
                return _number(function(logits, labels.long() if whole else labels))
            except IndexError:
                check_labels(labels[labels != self.ignored], logits.shape[min(1, main.ndim - 1)])
                raise

    def _placed(self, function: Callable[[Any, Any], Any], outputs: list[Tensor]) -> Callable[[Any, Any], Any]:
        """Return a loss whose own tensors are where the outputs are, class weights of torch's losses in their type.

        The user's module stays as it is: where its tensors are others, a copy is returned, always the same one.
        """
        if not isinstance(function, nn.Module) or not outputs:
            return function
        device = outputs[0].device
        dtype = outputs[0].dtype if self.is_torchs and outputs[0].is_floating_point() else None
        if all(_is_like(tensor, device, dtype) for tensor in (*function.parameters(), *function.buffers())):
            return function
        if (device, dtype) not in self._copies:
            self._copies[device, dtype] = copied(function).to(device, dtype)
        return self._copies[device, dtype]


def _is_like(tensor: Tensor, device: torch.device, dtype: torch.dtype | None) -> bool:
    return tensor.device == device and (dtype is None or not tensor.is_floating_point() or tensor.dtype == dtype)


def _number(loss: Any) -> Any:
    """Return a loss of shape ``(1,)`` or such without dimensions."""
    return loss.reshape(()) if isinstance(loss, Tensor) and loss.numel() == 1 else loss


def _function(loss: Any) -> Any:
    """Return a loss without the arguments that a ``functools.partial`` adds."""
    return loss.func if isinstance(loss, partial) else loss


def _is_torchs(loss: Callable[[Any, Any], Tensor]) -> bool:
    loss = _function(loss)
    return isinstance(loss, _Loss) or getattr(loss, "__module__", "") == functional.__name__


def _labels(model: nn.Module, batch: Batch) -> dict[str, Any]:
    """Return the keywords by which a model is told the targets of a batch; none where its inputs hold them."""
    takes = inspect.signature(model.forward).parameters
    if isinstance(batch.inputs, Mapping) and any(name in batch.inputs for name in LABELS):
        return {}
    if isinstance(batch.targets, Mapping) and batch.targets and all(name in takes for name in batch.targets):
        return dict(batch.targets)
    for name in LABELS:
        if name in takes:
            return {name: batch.targets}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values()):
        return dict(batch.targets) if isinstance(batch.targets, Mapping) else {LABELS[0]: batch.targets}
    return {}
