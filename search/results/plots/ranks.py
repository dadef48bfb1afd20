"""Which kind and rank every layer has in the front's models: a heatmap."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ....objectives.kinds.registry import KINDS
from ....objectives.metrics.amounts import share_shown
from ....objectives.metrics.registry import SIZE
from ...storage.dense import DenseModel
from ...storage.trials import Scored
from .style import style


@dataclass(frozen=True)
class RankPlot:
    """Ranks per layer of the front's models: what `draw_ranks` draws."""

    layers: list[str]
    trials: list[str]
    shares: list[list[float]]
    """[layer][trial]: share of the layer's `SIZE` that is kept, 1 for dense."""
    texts: list[list[str]]


def rank_data(front: Sequence[Scored], dense: DenseModel) -> RankPlot:
    """Return the data of a heatmap: one row a layer, one column a trial of the front, as it is ordered."""
    layers = list(front[0].plan) if front else []
    whole = dense.metrics.get(SIZE, math.nan)
    names = [f"{t.trial} ({share_shown(t.metrics.get(SIZE, math.nan), whole)})" for t in front]
    shares = [[t.shares.get(n, 1.0) for t in front] for n in layers]
    texts = [[str(t.plan[n]) for t in front] for n in layers]
    return RankPlot(layers, names, shares, texts)


MAX_COLUMNS = 14
"""Of more trials, cells are too narrow to write in."""

LONGEST = 4
"""Letters of a name that fit into a cell."""

IDENTITY = "-identity"
"""What the name of a kind with an identity block ends in; a ``+`` stands for it in a cell."""


def short_names(kinds: Iterable[str]) -> dict[str, str]:
    """Return kind → a name short enough for a cell: of a long name the first letters that no other name has.

    >>> short_names(["svd", "svd-identity", "spatial", "tucker2", "tt"])
    {'svd': 'svd', 'svd-identity': 'svd+', 'spatial': 'sp', 'tucker2': 'tu', 'tt': 'tt'}
    """
    names = list(kinds)
    bases = {name.removesuffix(IDENTITY) for name in names}
    short: dict[str, str] = {}
    for base in bases:
        others = bases - {base}
        lengths = range(2, len(base)) if len(base) > LONGEST else ()
        short[base] = next((base[:n] for n in lengths if not any(other.startswith(base[:n]) for other in others)), base)
    return {name: short[name.removesuffix(IDENTITY)] + "+" * name.endswith(IDENTITY) for name in names}


def legend(short: Mapping[str, str]) -> str:
    """Return what the short names stand for, where they are not the names.

    >>> legend({"svd": "svd", "spatial": "sp", "spatial-identity": "sp+"})
    'sp: spatial, +: with identity block'
    """
    known = [f"{cut}: {name}" for name, cut in short.items() if cut != name and not name.endswith(IDENTITY)]
    return ", ".join(known + ["+: with identity block"] * any(name.endswith(IDENTITY) for name in short))


def draw_ranks(data: RankPlot) -> go.Figure:
    """Draw the choices per layer as a heatmap; dark keeps few of its parameters, the brightest is dense."""
    short = short_names(KINDS)
    cells = [[" ".join((short.get(kind, kind), *rank)) for kind, *rank in map(str.split, row)] for row in data.texts]
    layers = [html.escape(name) for name in data.layers]
    shown = len(data.trials) <= MAX_COLUMNS
    figure = go.Figure(
        go.Heatmap(
            z=data.shares,
            x=data.trials,
            y=layers,
            text=cells if shown else None,
            texttemplate="%{text}" if shown else None,
            customdata=data.texts,
            hovertemplate="layer %{y}<br>trial %{x}<br>%{customdata}<extra></extra>",
            colorscale="Blues_r",
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            colorbar={"title": f"{SIZE}<br>kept", "tickformat": ".0%"},
        )
    )
    style(figure)
    figure.update_xaxes(title=f"trial on the front ({SIZE}, % of the dense model)", type="category")
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_layout(height=max(300, 120 + 26 * len(data.layers)))
    return figure
