"""What is done to a factorized network: refit, batch norm, fine-tuning."""
