"""The plots: each a function that returns plain data, and one that draws it. Tests look at the data."""
