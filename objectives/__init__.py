"""What one trial does to one model: factorize, fine-tune, score. Pure torch; never imports optuna or `search`."""
