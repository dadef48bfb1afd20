"""Remarks of torchao and transformers that say nothing of the user's model are hidden; their real warnings are not."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def registering_torchao() -> Iterator[None]:
    """Hide torch's warnings on how torchao, which transformers imports where it is installed, registers itself."""
    logger = logging.getLogger("torch.utils._pytree")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide transformers' remarks on configurations and weights, its progress bars, and what `registering_torchao` does.

    Classes of transformers are to be imported inside.
    """
    from transformers.utils import logging

    before, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with registering_torchao():
            yield
    finally:
        logging.set_verbosity(before)
        if shown:
            logging.enable_progress_bar()
