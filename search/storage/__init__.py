"""What a study keeps: database, folder, trials as records."""
