"""What every benchmark runs on: generated specifications, the pages that hold them, and a server of such pages."""
