"""Ready studies that a user runs or copies."""
