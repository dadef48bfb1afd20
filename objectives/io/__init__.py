"""Files that are whole or not there, fingerprints, checkpoints."""
