"""One module each, mirroring the package, without a server."""
