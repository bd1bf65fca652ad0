"""What is computed from vectors alone: similarities, searches, near pairs and communities."""
