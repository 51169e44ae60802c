"""Image classifiers against those of timm."""
