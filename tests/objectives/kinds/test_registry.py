"""Kinds are known by name before they are imported, and each is what its line says."""

from __future__ import annotations

import pytest

from rankfront import RankfrontError
from rankfront.objectives.kinds.registry import KINDS, kind_named, kinds_named


@pytest.mark.parametrize("name", KINDS)
def test_every_line_leads_to_the_kind_of_that_name(name: str) -> None:
    assert kind_named(name).name == name
    assert KINDS[kind_named(name).base].base == kind_named(name).base


def test_kinds_keep_the_registrys_order() -> None:
    assert [kind.name for kind in kinds_named(reversed(list(KINDS)))] == list(KINDS)


@pytest.mark.parametrize("names", [(), ("dense",), ("svd", "pca")])
def test_unknown_names_and_none_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(RankfrontError, match="kinds must be some of svd"):
        kinds_named(names)
