"""What is known of a collection, and who is told of changes."""
