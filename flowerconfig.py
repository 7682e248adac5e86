"""Flower's settings, which it reads from the folder it is started in; its command line and `FLOWER_…` come first."""

from tornado.options import options

from backend.logs import own_standard_error
from backend.ops.flower import login
from backend.settings import load_settings

address = "127.0.0.1"
read_only = True
own_standard_error(load_settings())
basic_auth = options.basic_auth or [login(load_settings())]
