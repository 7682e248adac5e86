"""The configuration of gunicorn without what keeps a process on one core."""

from backend.ops.gunicorn import control_socket_disable, limit_request_field_size, threads, worker_class

__all__ = ["control_socket_disable", "limit_request_field_size", "threads", "worker_class"]
