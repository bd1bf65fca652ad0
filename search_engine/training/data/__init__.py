"""Training data: read, matched with what a loss takes, made into batches."""
