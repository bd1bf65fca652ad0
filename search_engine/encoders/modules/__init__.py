"""The modules that a text passes through, as torch modules; graph.py chains them.

Each takes and returns the features of a batch by name, as Sentence Transformers' modules do, and
gives the same numbers. A third party's module registers under the type that modules.json writes.
"""
