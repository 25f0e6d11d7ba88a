"""Search: what looking for things part by part shares, whatever the picture is."""
