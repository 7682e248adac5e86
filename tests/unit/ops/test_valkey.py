from pathlib import Path

from backend.ops.valkey import server_command


def test_the_server_listens_on_its_private_socket_only_and_keeps_what_it_is_told() -> None:
    binary, *arguments = server_command(socket=Path("/run/v.sock"), directory=Path("/data"))
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert Path(binary).is_file()
    assert (options["--port"], options["--unixsocket"], options["--unixsocketperm"]) == ("0", "/run/v.sock", "700")
    assert (options["--appendonly"], options["--appendfsync"], options["--dir"]) == ("yes", "everysec", "/data")
    assert options["--maxmemory-policy"] == "noeviction"
