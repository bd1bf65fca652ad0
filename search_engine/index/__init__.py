"""The index: documents, vectors and terms on disk, written and read."""

from search_engine.index.without_pandas import import_sqlite_utils

import_sqlite_utils()
