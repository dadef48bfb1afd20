"""What passes the layers on training samples, as moments."""
