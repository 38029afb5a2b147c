"""A session as one HTML file and a model card: findings, then chapters, then the page."""
