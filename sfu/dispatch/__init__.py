"""Who runs which agent: workers, the agents that rooms ask for, and the jobs between them."""
