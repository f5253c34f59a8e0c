"""Plans for customers' zones: computed, shown, approved, applied once."""
