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
from .style import INK, KEPT, SOFT, style


@dataclass(frozen=True)
class RankPlot:
    """Ranks per layer of the front's models: what `draw_ranks` draws."""

    layers: list[str]
    trials: list[str]
    shares: list[list[float]]
    """[layer][trial]: share of the layer's `SIZE` that is kept, 1 for dense."""
    texts: list[list[str]]
    of: int
    """Number of trials on the front."""


MAX_COLUMNS = 14
"""Of more trials, cells are too narrow to write in: some are left out."""

ROOM = 140
"""Characters of a row's cells that can be read, all together."""

MARKED = "★ "
"""What stands before the best trial."""


def rank_data(front: Sequence[Scored], dense: DenseModel, best: int | None = None) -> RankPlot:
    """Return the data of a heatmap: one row a layer, one column a trial of the front, as it is ordered.

    Of more than `MAX_COLUMNS` trials it has so many, or fewer where cells need more room, evenly spaced, and the best
    one among them.
    """
    layers = list(front[0].plan) if front else []
    longest = max((len(text) for t in front for text in _cells(map(str, t.plan.values()))), default=0)
    shown = _spaced(front, best, min(MAX_COLUMNS, max(2, ROOM // max(1, longest))))
    whole = dense.metrics.get(SIZE, math.nan)
    names = [
        f"{MARKED if t.trial == best else ''}{t.trial} ({share_shown(t.metrics.get(SIZE, math.nan), whole)})"
        for t in shown
    ]
    shares = [[t.shares.get(n, 1.0) for t in shown] for n in layers]
    texts = [[str(t.plan[n]) for t in shown] for n in layers]
    return RankPlot(layers, names, shares, texts, len(front))


def _spaced(front: Sequence[Scored], best: int | None, columns: int) -> list[Scored]:
    if len(front) <= columns:
        return list(front)
    places = {round(n * (len(front) - 1) / (columns - 1)) for n in range(columns)}
    place = next((n for n, t in enumerate(front) if t.trial == best), None)
    if place is not None and place not in places:
        places = {*(places - {min(places, key=lambda n: abs(n - place))}), place}
    return [front[n] for n in sorted(places)]


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


def _cells(choices: Iterable[str]) -> list[str]:
    """Return what stands in cells: ``svd 8`` of a choice ``svd 8``, ``sp+ 4×4`` of ``spatial-identity 4×4``."""
    short = short_names(KINDS)
    return [" ".join((short.get(kind, kind), *rank)) for kind, *rank in map(str.split, choices)]


def draw_ranks(data: RankPlot) -> go.Figure:
    """Draw the choices per layer as a heatmap; deep keeps few of its parameters, pale is dense."""
    figure = go.Figure(
        go.Heatmap(
            z=data.shares,
            x=data.trials,
            y=[html.escape(name) for name in data.layers],
            text=[_cells(row) for row in data.texts],
            texttemplate="%{text}",
            textfont={"size": 11},
            customdata=data.texts,
            hovertemplate="layer %{y}<br>trial %{x}<br>%{customdata}<extra></extra>",
            colorscale=KEPT,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorbar={
                "title": {"text": f"{SIZE} kept", "side": "right", "font": {"color": SOFT, "size": 12}},
                "tickformat": ".0%",
                "thickness": 10,
                "outlinewidth": 0,
                "tickfont": {"color": SOFT},
            },
        )
    )
    style(figure)
    some = "" if len(data.trials) == data.of else f": {len(data.trials)} of {data.of}, evenly spaced"
    figure.update_xaxes(
        title_text=f"trial on the front ({SIZE}, % of the dense model){some}", type="category", showgrid=False
    )
    labels = [name.replace(" (", "<br>").rstrip(")") for name in data.trials]
    figure.update_xaxes(tickvals=data.trials, ticktext=labels, tickangle=0, tickfont_size=11)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, tickfont={"color": INK})
    # A cell is as high and as wide as its text, unless there are very many rows.
    longest = max((len(text) for row in data.texts for text in _cells(row)), default=0)
    figure.update_layout(meta={"least_width": 150 + len(data.trials) * max(62, 6 * longest)})
    figure.update_layout(height=max(220, 90 + (26 if len(data.layers) <= 60 else 18) * len(data.layers)))
    return figure
