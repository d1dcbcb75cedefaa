"""Settings: models with every default, and the one reader of file, environment and flags."""
