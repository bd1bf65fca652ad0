"""Encoders: texts to dense vectors, to sparse vectors, and pairs of texts to scores."""
