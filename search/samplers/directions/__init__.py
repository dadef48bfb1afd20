"""The default sampler, a file a concept."""
