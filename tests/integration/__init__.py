"""Client, server and files together, on the sandbox."""
