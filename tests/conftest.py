"""What holds for all tests."""

from hypothesis import settings

# No test is timed: a busy machine is no failure, and speed is what benchmarks are for.
settings.register_profile("sanguine", deadline=None)
settings.load_profile("sanguine")
