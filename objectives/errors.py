"""The errors that users see; their messages say what to do."""

from __future__ import annotations


class RankfrontError(Exception):
    """A mistake in what the user gave. The message is one line: the name, the rule, the value."""

    def __init__(self, message: str) -> None:
        # What another library says, and a user's names, may have several lines.
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


class TrialError(RankfrontError):
    """One trial could not be scored; its reason is stored and the study goes on."""
