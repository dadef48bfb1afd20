"""What goes wrong, in words a user can act on."""

from __future__ import annotations


class RankfrontError(Exception):
    """A mistake in what the user gave, told in one line: what, the rule, the value."""


class TrialError(RankfrontError):
    """One trial could not be scored; its reason is stored and the study goes on."""
