"""What every benchmark runs on: generated specifications, pages that contain them, and a server of such pages."""
