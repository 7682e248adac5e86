"""The broker as both sides configure it: Celery, which the API rings with and the workers consume with, and Redis."""

from urllib.parse import parse_qs, urlsplit

from celery import Celery
from kombu import Queue
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from backend.jobs.kinds import QUEUES
from backend.jobs.states import Priority
from backend.settings import Settings

MAINTENANCE_QUEUE = "maintenance"
VISIBILITY_TIMEOUT = (
    3600  # seconds; messages are acknowledged when taken, so only a prefetched one can ever wait for it
)


def make_celery(settings: Settings, *, impatient: bool = False) -> Celery:
    """Return a Celery app that carries job ids only, keeps no results and never retries by itself.

    Redelivery is ours: the Redis transport loses messages popped onto a dead socket and redelivers long ones twice.
    Without `socket_timeout` a half-open connection is never noticed; `health_check_interval` alone does not help.
    An impatient app gives a broker a second and one more try; the workers' own waits until it is back.
    """
    socket_timeout = 1.0 if impatient else 10.0
    celery = Celery("sanguine", broker=settings.celery_broker_url, set_as_current=False)
    celery.conf.update(
        task_ignore_result=True,
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue="interactive",
        task_queues=[Queue(name) for name in (*QUEUES, MAINTENANCE_QUEUE)],
        task_create_missing_queues=False,
        worker_direct=True,  # a queue of each worker's own, for its watchdog
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_proc_alive_timeout=60.0,  # a child loads models: Celery's four seconds kill it over and over
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_timeout": socket_timeout,
            "socket_connect_timeout": min(2.0, socket_timeout),
            "socket_keepalive": True,
            "health_check_interval": 10,
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "priority_steps": [int(priority) for priority in Priority],  # a list for each, the urgent one read first
            **({"max_retries": 1, "interval_start": 0.0, "interval_step": 0.0} if impatient else {}),
        },
        timezone=settings.timezone,
        enable_utc=True,
    )
    return celery


def make_redis(settings: Settings) -> Redis:
    """Return a client of the broker's own server for what needs no queue; it gives up within a second."""
    url = urlsplit(settings.celery_broker_url)
    options = {
        "socket_timeout": 1.0,
        "socket_connect_timeout": 1.0,
        "retry": Retry(NoBackoff(), retries=1, supported_errors=(RedisConnectionError,)),
    }
    if url.scheme != "redis+socket":
        return Redis.from_url(settings.celery_broker_url, socket_keepalive=True, health_check_interval=10, **options)
    database = parse_qs(url.query).get("virtual_host", ["0"])[0]
    return Redis.from_url(f"unix://{url.path}?db={database}", **options)
