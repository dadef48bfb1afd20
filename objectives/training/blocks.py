"""The blocks of a network, found from its module tree: residual blocks, transformer blocks.

A block is an element of a ``Sequential`` or ``ModuleList`` in which another element has the same type, and which is no
leaf and no container itself; of nested ones the outermost. A network without such elements is one block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from torch import nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def blocks_of(model: nn.Module, layers: Iterable[str]) -> dict[str, list[str]]:
    """Return path → names of the layers inside, of every block that holds a layer, in the module tree's order.

    The whole model, path ``""``, where no layer is in a block. Layers that are in none are left out elsewhere.
    """
    names = list(layers)
    found: list[str] = []
    for path, module in model.named_modules():
        if isinstance(module, CONTAINERS) and not any(_inside(path, block) for block in found):
            kinds = Counter(type(element) for element in module.children())
            found += [
                f"{path}.{name}" if path else name
                for name, element in module.named_children()
                if kinds[type(element)] > 1 and not isinstance(element, CONTAINERS) and any(element.children())
            ]
    blocks = {block: inside for block in found if (inside := [name for name in names if _inside(name, block)])}
    return blocks or ({"": names} if names else {})


def _inside(path: str, block: str) -> bool:
    return path == block or path.startswith(f"{block}.")
