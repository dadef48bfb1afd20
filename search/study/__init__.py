"""What a user starts: run, finish, verify."""
