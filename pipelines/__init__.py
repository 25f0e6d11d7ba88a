"""What a user calls: one class or one command for each job."""
