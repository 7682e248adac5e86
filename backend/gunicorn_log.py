"""gunicorn's log, in the form of all others. gunicorn is told of it by name, in `backend.ops.gunicorn`."""

from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from backend.logs import own_standard_error
from backend.settings import load_settings


class GunicornLog(Logger):  # type: ignore[misc] # gunicorn publishes no types
    """Leaves gunicorn's records to the handler of the process, which shows nothing of requests."""

    def setup(self, cfg: Config) -> None:
        """Take gunicorn's own handlers away.

        Raises:
            SettingsError: the environment cannot be used.
        """
        super().setup(cfg)
        for its in (self.error_log, self.access_log):
            its.handlers = []
            its.propagate = True
        own_standard_error(load_settings())
