"""Running the stack: processes, ports, the embedded broker."""
