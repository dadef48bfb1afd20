"""Every kind of torchmetrics metric, batch by batch, against torchmetrics itself on the whole split."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import classification, text

from rankfront import RankfrontError, Score, Split, Task
from rankfront.objectives.metrics.evaluation import evaluate
from rankfront.objectives.model.outputs import main_output
from tests.conftest import blobs, perceptron

N, CLASSES = 103, 5


class Case(NamedTuple):
    metric: Callable[[], Any]
    outputs: Tensor
    targets: Tensor
    has_interval: bool = True


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def integers(high: int, *shape: int) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(1))


# Torchmetrics takes logits that all lie between 0 and 1 for probabilities, batch by batch: here none do.
LOGITS, LABELS = random(N, CLASSES) - 2, integers(CLASSES, N)
MAPS, MASKS = random(N, CLASSES, 3, 4), integers(CLASSES, N, 3, 4)
TOKENS, IDS = random(N, 6, CLASSES), integers(CLASSES, N, 6).masked_fill(integers(5, N, 6) == 0, -100)
VALUES, TRUE = random(N), random(N) + 0.1 * integers(9, N)

CASES: dict[str, Case] = {
    "micro accuracy": Case(lambda: classification.MulticlassAccuracy(CLASSES, average="micro"), LOGITS, LABELS),
    "macro accuracy": Case(lambda: classification.MulticlassAccuracy(CLASSES), LOGITS, LABELS),
    "top 2": Case(lambda: classification.MulticlassAccuracy(CLASSES, top_k=2), LOGITS, LABELS),
    "F1": Case(lambda: classification.MulticlassF1Score(CLASSES), LOGITS, LABELS),
    "kappa": Case(lambda: classification.MulticlassCohenKappa(CLASSES), LOGITS, LABELS),
    "binned AUROC": Case(lambda: classification.MulticlassAUROC(CLASSES, thresholds=20), LOGITS, LABELS),
    "AUROC": Case(lambda: classification.MulticlassAUROC(CLASSES), LOGITS, LABELS, False),
    "calibration error": Case(lambda: classification.MulticlassCalibrationError(CLASSES), LOGITS, LABELS, False),
    "mIoU": Case(lambda: classification.MulticlassJaccardIndex(CLASSES, ignore_index=0), MAPS, MASKS),
    "perplexity": Case(lambda: text.Perplexity(ignore_index=-100), TOKENS, IDS),
    "binary F1": Case(lambda: classification.BinaryF1Score(), VALUES.sigmoid(), integers(2, N)),
    "multilabel F1": Case(lambda: classification.MultilabelF1Score(CLASSES), LOGITS.sigmoid(), integers(2, N, CLASSES)),
    "MSE": Case(torchmetrics.MeanSquaredError, VALUES, TRUE),
    "MAE": Case(torchmetrics.MeanAbsoluteError, VALUES, TRUE),
    "R2": Case(torchmetrics.R2Score, VALUES, TRUE),
    "log cosh": Case(torchmetrics.LogCoshError, VALUES, TRUE),
    "Spearman": Case(torchmetrics.SpearmanCorrCoef, VALUES, TRUE, False),
    "cosine": Case(torchmetrics.CosineSimilarity, LOGITS, LOGITS + random(N, CLASSES).roll(1, 0), False),
}


class Echo(nn.Module):
    """Gives its inputs; the metric is all that is tried."""

    def __init__(self, form: Callable[[Tensor], Any] = lambda outputs: outputs) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Any:
        return self.form(x)


@pytest.mark.parametrize("batch_size", [7, 64, 200])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equal_to_torchmetrics_on_the_whole_split(case: Case, batch_size: int) -> None:
    whole = case.metric()
    whole.update(case.outputs, case.targets)
    data = Split((case.outputs, case.targets))
    score = Score.of_metric(case.metric())
    for form in (lambda outputs: outputs, lambda outputs: {"logits": outputs, "hidden": outputs[:1]}):
        found = evaluate(Echo(form), data, score, batch_size=batch_size)
        assert found.score == pytest.approx(float(whole.compute()), rel=1e-4)
        assert found.samples == N
    assert score.scale.higher_is_better == whole.higher_is_better
    interval = found.interval
    assert (interval is not None) == (case.has_interval and batch_size == 7), "from 8 batches on"
    if interval is not None:
        assert interval[0] <= found.score <= interval[1] or case.metric is torchmetrics.R2Score
        assert interval == evaluate(Echo(), data, score, batch_size=batch_size).interval, "the seed is fixed"


def test_names_and_directions_come_from_the_metric() -> None:
    scales = [Score.of_metric(CASES[name].metric()).scale for name in ("micro accuracy", "F1", "MSE", "R2")]
    assert [scale.name for scale in scales] == [
        "multiclass_accuracy",
        "multiclass_f1_score",
        "mean_squared_error",
        "r2_score",
    ]
    task = Task(perceptron(), blobs(50, 1), blobs(50, 2), score=text.Perplexity())
    assert task.score.scale.name == "perplexity" and not task.score.scale.higher_is_better


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = random(4000)
    mean = Score.of_mean(lambda outputs, targets: outputs, "mean")
    metric = Score.of_metric(torchmetrics.MeanMetric(), select=lambda outputs, targets: outputs, higher_is_better=True)
    expected = 1.96 * float(values.std()) / math.sqrt(len(values))
    for score in (mean, metric):
        interval = evaluate(Echo(), Split((values, values)), score, batch_size=50).interval
        assert interval is not None
        half = (interval[1] - interval[0]) / 2
        assert half == pytest.approx(expected, rel=0.35)


def test_bootstrap_and_wilson_agree_on_accuracy() -> None:
    logits, labels = random(2000, 3), integers(3, 2000)
    counted, metric = (
        evaluate(Echo(), Split((logits, labels)), score, batch_size=100)
        for score in (Score.given(None), Score.of_metric(classification.MulticlassAccuracy(3, average="micro")))
    )
    assert counted.score == pytest.approx(metric.score)
    assert counted.interval == pytest.approx(metric.interval, abs=0.012)


def test_a_mean_over_batches_counts_samples() -> None:
    model, data = perceptron(), blobs(101, 1)
    loss = float(functional.cross_entropy(model(data[0]), data[1]).detach())
    per_batch = Score.of_mean(functional.cross_entropy, "loss", higher_is_better=False)
    per_sample = Score.of_mean(lambda o, t: functional.cross_entropy(o, t, reduction="none"))
    for score in (per_batch, per_sample):
        found = evaluate(model, Split(data), score, batch_size=10)
        assert found.score == pytest.approx(loss, rel=1e-5)
        assert found.interval is not None and found.interval[0] < loss < found.interval[1]


class Plain:
    """An object of the user's own."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def reset(self) -> None:
        self.seen = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.seen.extend((outputs.argmax(1) == targets).double().tolist())

    def compute(self) -> dict[str, float]:
        return {"right": sum(self.seen) / len(self.seen), "wrong": 1 - sum(self.seen) / len(self.seen)}


def test_an_object_of_the_users_own() -> None:
    score = Score.of_metric(Plain(), "share_right", key="right", higher_is_better=True)
    found = evaluate(Echo(), Split((LOGITS, LABELS)), score, batch_size=10)
    assert found.score == pytest.approx(float((LOGITS.argmax(1) == LABELS).double().mean()))
    assert found.interval is None


class Boxes(nn.Module):
    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        return [{"boxes": image[: 1 + i % 3], "scores": image[: 1 + i % 3, 0]} for i, image in enumerate(images)]


class FakeMeanAveragePrecision(torchmetrics.Metric):
    """Takes lists of dicts, computes a dict, as torchmetrics' own does (which needs pycocotools)."""

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__()
        self.add_state("counts", default=[], dist_reduce_fx=None)

    def update(self, preds: list[dict[str, Tensor]], target: Any) -> None:
        assert isinstance(preds, list) and set(preds[0]) == {"boxes", "scores"}
        self.counts.extend(torch.tensor(len(one["boxes"])) for one in preds)

    def compute(self) -> dict[str, Tensor]:
        return {"map": torch.stack(self.counts).double().mean(), "map_50": torch.tensor(0.5)}


def test_a_detection_metric_takes_lists_of_dicts() -> None:
    images = random(12, 3, 4)
    data = Split((images, torch.arange(12)))
    found = evaluate(Boxes(), data, Score.of_metric(FakeMeanAveragePrecision(), "map", key="map"), batch_size=6)
    assert found.score == pytest.approx(2.0) and found.interval is None
    with pytest.raises(RankfrontError, match=r"computes map, map_50: pick one by .*of_metric\(metric, key="):
        evaluate(Boxes(), data, Score.of_metric(FakeMeanAveragePrecision()), batch_size=6)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (torchmetrics.MeanMetric(), "MeanMetric does not say whether higher is better"),
        (
            torchmetrics.MetricCollection([torchmetrics.MeanSquaredError(), torchmetrics.MeanAbsoluteError()]),
            "must be one metric, but got a MetricCollection of MeanSquaredError, MeanAbsoluteError: pick one",
        ),
        (
            torchmetrics.MeanSquaredError,
            "must be a function or an object, but got the class MeanSquaredError: make one",
        ),
        (3.5, "score must be a function or a rankfront.Score, but got 3.5"),
    ],
)
def test_what_is_no_score_is_told(metric: Any, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        Task(perceptron(), blobs(50, 1), blobs(50, 2), score=metric)


def test_one_of_a_collection() -> None:
    collection = torchmetrics.MetricCollection([torchmetrics.MeanSquaredError(), torchmetrics.MeanAbsoluteError()])
    score = Score.of_metric(collection, key="MeanAbsoluteError")
    assert score.scale.name == "mean_absolute_error" and not score.scale.higher_is_better
    found = evaluate(Echo(), Split((VALUES, TRUE)), score, batch_size=20).score
    assert found == pytest.approx(float((VALUES - TRUE).abs().mean()), rel=1e-5)


def test_a_metric_of_many_numbers_is_told() -> None:
    score = Score.of_metric(classification.MulticlassF1Score(CLASSES, average=None))
    with pytest.raises(RankfrontError, match=r"a score must be one number, but got Tensor \(5,\)"):
        evaluate(Echo(), Split((LOGITS, LABELS)), score)


def test_the_users_metric_is_left_empty() -> None:
    metric = torchmetrics.MeanSquaredError()
    evaluate(Echo(), Split((VALUES, TRUE)), Score.of_metric(metric))
    assert not metric.update_called and float(metric.total) == 0


def test_select_and_keywords() -> None:
    chosen = Score.of_metric(
        torchmetrics.MeanSquaredError(), select=lambda out, t: {"preds": out["pair"][1], "target": t}
    )
    model = Echo(lambda outputs: {"pair": (outputs, outputs + 1), "n": 3})
    found = evaluate(model, Split((VALUES, TRUE)), chosen, batch_size=9)
    assert found.score == pytest.approx(float((VALUES + 1 - TRUE).square().mean()), rel=1e-5)
    assert main_output(model(VALUES)) is None


@pytest.mark.parametrize("masked", [[0], [1, 2], [3]])
def test_a_batch_of_which_nothing_is_counted_is_passed_over(masked: list[int]) -> None:
    values = VALUES[:40].clone()
    for number in masked:
        values[10 * number : 10 * number + 10] = math.nan
    score = Score.of_mean(lambda outputs, targets: outputs[~outputs.isnan()])
    found = evaluate(Echo(), Split((values, TRUE[:40])), score, batch_size=10)
    assert found.score == pytest.approx(float(values.double().nanmean()))
    with pytest.raises(RankfrontError, match="a mean over at least one sample"):
        evaluate(Echo(), Split((values * math.nan, TRUE[:40])), score, batch_size=10)
