"""The user's data: splits, batches, nested structures of tensors."""
