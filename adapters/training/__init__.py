"""The training itself: what is trained, the loss, the loop that can be killed, calibration."""
