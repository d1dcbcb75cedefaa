"""What is asked by plain HTTP: the server API, and what stands in front of every route."""
