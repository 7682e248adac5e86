"""Records that domains keep for their users: added one by one or from files, read and changed over HTTP."""
