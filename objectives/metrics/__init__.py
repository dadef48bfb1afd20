"""What a network costs and how well it does: one file a metric, scores, costs known before building."""
