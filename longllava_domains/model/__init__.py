"""The LongLLaVA network: configuration, checkpoints, carried state and sessions."""
