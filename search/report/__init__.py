"""What people look at: plots, the page, progress, numbers in words."""
