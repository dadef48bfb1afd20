"""What a study has found: the front, the best, tables."""
