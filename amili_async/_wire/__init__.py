"""What lies between a method call and the network."""
