"""The names of what a study's identity holds, readable without importing torch."""

from __future__ import annotations

SPLITS = {"train": "the training data", "validation": "the validation data", "test": "the test data"}
"""A task's splits, and how messages call them."""

WEIGHTS = "dense model"
"""The entry with the hash of the dense model's weights."""

ARCHITECTURE = "dense architecture"
"""The entry with a hash of the names and shapes of the dense model's tensors; older studies lack it."""

CONTENT = "content"
"""The entry with the content of data, outputs, loss and score; also the study's user attribute that holds it."""

KEYS = frozenset({WEIGHTS, ARCHITECTURE, CONTENT, "loss", "score", *(f"{name} data" for name in SPLITS)})
"""The entries that `identity.differences` compares. ``loss`` and ``score`` are names, stored by old studies only."""
