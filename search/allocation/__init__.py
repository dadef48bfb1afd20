"""Plans within limits from errors and costs alone: the knapsack and the published rules."""
