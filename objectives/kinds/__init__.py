"""The kinds of factorization, one file each, and what they share."""
