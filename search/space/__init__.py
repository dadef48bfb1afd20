"""The choices of every layer, the budget, and the way between Optuna's parameters and plans."""
