"""What carries an attribute in a table of concepts, what stands in for it, and what can still be read."""
