"""What a plugin in Python is made of."""
