"""What `amili doctor` finds, check by check."""
