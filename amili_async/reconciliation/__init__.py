"""Whether payouts are the sums of their specifications."""
