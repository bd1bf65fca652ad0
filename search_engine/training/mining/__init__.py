"""Hard negatives: texts that retrieval takes for answers of a query and that are none."""
