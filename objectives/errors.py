"""The errors that users see; their messages say what to do."""

from __future__ import annotations


class RankfrontError(Exception):
    """A mistake in what the user gave. The message is one line: the name, the rule, the value."""


class TrialError(RankfrontError):
    """One trial could not be scored; its reason is stored and the study goes on."""
