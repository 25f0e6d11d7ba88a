"""Results as files that other systems read."""
