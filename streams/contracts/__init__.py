"""What travels: one frozen struct per fact, and the topics that carry them."""
