"""Models in memory: the catalogue on disk, one runtime per technology, and the client that everyone calls."""
