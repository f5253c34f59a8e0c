"""What the request filter finds, whom it wrongs, and what it costs."""
