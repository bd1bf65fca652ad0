"""What is made small: one loss a file, each a function of vectors or scores."""
