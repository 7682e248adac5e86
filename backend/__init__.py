"""Sanguine: predictions for health organisations as durable jobs on models of their own."""

import os

# pyarrow, which pandas and LightGBM import, brings jemalloc. Nothing here allocates with it, and yet one forked child
# in a hundred died of its caches when a thread ended (je_tsd_cleanup). It reads this when it is loaded.
os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false,tcache:false")
