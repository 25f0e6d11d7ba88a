"""Pictures of a training row that become many views: slides, videos, large images in parts."""
