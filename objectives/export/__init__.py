"""The files to ship: weights and plan, int8."""
