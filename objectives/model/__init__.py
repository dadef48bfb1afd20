"""The user's model: its layers found and replaced, attention taken apart."""
